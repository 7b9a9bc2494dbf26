package core

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"tidemark/playbook"
	"tidemark/processor/history"
	"tidemark/schemas"
	"tidemark/state"
)

// taskState is what a task knows beyond its customers. It is small and changes
// seldom; it stands under the meta key "task" as JSON.
type taskState struct {
	Genesis     bool              `json:"genesis"`
	FireFrom    schemas.EventTime `json:"fire_from"`
	Start       schemas.EventTime `json:"start"`
	Partitions  int32             `json:"partitions"`
	Names       []string          `json:"names"` // the dictionary: the id of a rule is its place + 1
	Cuts        []cutsState       `json:"cuts"`
	Sweeps      []sweepState      `json:"sweeps"`
	Armed       schemas.EventTime `json:"armed"`        // of the last playbook sweep
	TransferOut int64             `json:"transfer_out"` // sequence of the last sent
	TransferIn  []int64           `json:"transfer_in"`  // by sender, of the last taken
	Erasures    int64             `json:"erasures,omitempty"`
	Reports     []reportState     `json:"reports,omitempty"`
	Pauses      []Brake           `json:"pauses,omitempty"`
	Books       []bookState       `json:"books,omitempty"`
	Pools       []poolState       `json:"pools,omitempty"`
	Named       []namedState      `json:"named,omitempty"`
}

// Kinds of control records.
const (
	ControlGenesis  = "genesis"
	ControlPlaybook = "playbook"
	ControlCuts     = "cuts"
)

// Genesis is the body of the first control record, as JSON.
type Genesis struct {
	FireFrom   schemas.EventTime `json:"fire_from"`  // triggers effective earlier are withheld as history
	Start      schemas.EventTime `json:"start"`      // where the periods of cuts begin
	Partitions int32             `json:"partitions"` // of the input topics
	// Of a history (clock: input), as it stood at the very first start: the ends of
	// orders and behaviors by task, and the last event over all of them.
	Ends  [][2]schemas.Offset `json:"ends,omitempty"`
	Until schemas.EventTime   `json:"until,omitempty"`
}

// NewGenesis makes the control record that begins a generation.
func NewGenesis(g Genesis, by string, at schemas.EventTime) *schemas.Control {
	body, _ := json.Marshal(g)
	return &schemas.Control{ControlID: "genesis", Kind: ControlGenesis, Version: 1, EffectiveAt: g.Start, Body: body, IssuedBy: by, IssuedAt: at}
}

// NewPlaybook makes the control record that puts a playbook in force.
func NewPlaybook(pb *playbook.Playbook, by string, at schemas.EventTime) *schemas.Control {
	return &schemas.Control{ControlID: "playbook-" + pb.Version, Kind: ControlPlaybook, Name: pb.Name, Body: pb.Text, IssuedBy: by, IssuedAt: at}
}

func (c *Core) loadTask() error {
	v, err := c.rd.Get(state.MetaKey(nil, "task"))
	if err != nil {
		return err
	}
	c.spilled = map[string]spilledValue{}
	if v != nil {
		if err := json.Unmarshal(v, &c.ts); err != nil {
			return fmt.Errorf("core: task state: %w", err)
		}
	}
	if i := slices.Index(c.ts.Names, identityRule); i >= 0 {
		c.identity = uint32(i + 1)
	}
	text, err := c.rd.Get(state.MetaKey(nil, "playbook"))
	if err != nil {
		return err
	}
	if text != nil {
		pb, err := playbook.Compile(text, "store")
		if err != nil {
			return fmt.Errorf("core: the playbook in the store: %w", err)
		}
		c.adopt(pb)
	}
	if err := c.loadSums(); err != nil {
		return err
	}
	return c.loadHistograms()
}

func (c *Core) saveTask(b *state.Batch) {
	if !c.tsDirty {
		return
	}
	v, err := json.Marshal(&c.ts)
	if err != nil {
		panic("core: task state: " + err.Error()) // plain fields always encode
	}
	b.Set(state.MetaKey(nil, "task"), v)
	c.tsDirty = false
}

// control takes a record of the control topic.
func (c *Core) control(r *schemas.Control) error {
	switch r.Kind {
	case ControlGenesis:
		if c.ts.Genesis {
			return nil // the first one holds
		}
		var g Genesis
		if err := json.Unmarshal(r.Body, &g); err != nil {
			return fmt.Errorf("core: genesis record: %w", err)
		}
		if g.Partitions != c.cfg.Tasks {
			return fmt.Errorf("%w: %d there, %d here", ErrPartitions, g.Partitions, c.cfg.Tasks)
		}
		c.ts.Genesis, c.ts.FireFrom, c.ts.Start, c.ts.Partitions = true, g.FireFrom, g.Start, g.Partitions
		c.ts.TransferIn = make([]int64, c.cfg.Tasks)
		c.tsDirty = true
		if c.pb != nil {
			c.scheduleCuts()
		}
		return nil
	case ControlPlaybook:
		pb, err := playbook.Compile(r.Body, "control topic")
		if err != nil {
			return fmt.Errorf("core: the playbook in the control topic: %w", err)
		}
		if c.pb != nil && c.pb.Version == pb.Version {
			return nil
		}
		was := c.pb
		c.adopt(pb)
		c.ops = append(c.ops, state.Op{Kind: state.Set, Key: state.MetaKey(nil, "playbook"), Value: r.Body})
		c.scheduleCuts()
		if was != nil {
			if rules := changed(was, pb); len(rules) > 0 {
				// Each sweep has its own instant, by which a customer shows that she was reached.
				c.ts.Armed = max(c.pos.Clock, r.EffectiveAt, c.ts.Armed+1)
				c.beginSweep(sweepState{Kind: sweepPlaybook, Name: pb.Version, Rules: rules, From: c.ts.Armed})
			}
		}
		return nil
	case ControlPause, ControlResume:
		return c.brake(r)
	case ControlCuts:
		return c.takeCuts(r)
	}
	return nil // a newer engine's; what it means to others it can't mean here
}

// adopt puts a playbook in force.
func (c *Core) adopt(pb *playbook.Playbook) {
	c.pb = pb
	c.zone = history.NewZone(pb.Zone)
	c.omit = nil
	for i := range pb.Growth {
		for _, cat := range pb.Growth[i].OmitCategories {
			if c.omit == nil {
				c.omit = map[string]bool{}
			}
			c.omit[cat] = true
		}
	}
	c.rule, c.recalls, c.churn = nil, nil, nil
	c.bindStreams()
	for i := range pb.Tiers {
		t := &pb.Tiers[i]
		r := c.newTier(t)
		c.rule = append(c.rule, r)
		if t.Notice != 0 {
			c.rule = append(c.rule, c.newNotice(r))
		}
	}
	for i := range pb.RFM {
		c.rule = append(c.rule, c.newRFM(&pb.RFM[i]))
	}
	for i := range pb.Churn {
		k := newChurn(pb, i, c.name(pb.Churn[i].Name))
		if s := pb.Churn[i].Stream; s != 0 {
			k.on, k.stream = c.streams.ids[s], pb.Streams[s].Name
		}
		c.rule = append(c.rule, k)
		c.churn = append(c.churn, k)
	}
	for i := range pb.Recall {
		c.recalls = append(c.recalls, &recallRule{pb: &pb.Recall[i], rd: c.name(pb.Recall[i].Name)})
	}
	c.group = c.newGroup()
	c.bindTasks()
	c.bindZone()
	c.bindMoments()
	c.bindBooks()
	c.bindSops()
	c.touching = c.bindTouch()
	c.bindExperiments()
}

// name is the id of a rule in the task's dictionary.
func (c *Core) name(name string) uint32 {
	for i, n := range c.ts.Names {
		if n == name {
			return uint32(i + 1)
		}
	}
	c.ts.Names = append(c.ts.Names, name)
	c.tsDirty = true
	return uint32(len(c.ts.Names))
}

// RuleName is the inverse of the dictionary, for tools that print rows.
func (c *Core) RuleName(id uint32) string {
	if id == 0 || int(id) > len(c.ts.Names) {
		return "rule-" + strconv.Itoa(int(id))
	}
	return c.ts.Names[id-1]
}

// transfer takes a message of another task, each once.
func (c *Core) transfer(r *schemas.Transfer) error {
	if int(r.FromTask) < 0 || int(r.FromTask) >= len(c.ts.TransferIn) {
		return nil
	}
	if r.Sequence <= c.ts.TransferIn[r.FromTask] {
		return nil
	}
	c.ts.TransferIn[r.FromTask] = r.Sequence
	c.tsDirty = true
	switch r.Kind {
	case transferMerge, transferEvent, transferAlias, transferErase:
		if c.pb == nil {
			return ErrNoPlaybook
		}
		return c.identityTransfer(r)
	case transferPartial:
		return c.takePartial(r)
	case transferSums:
		return c.takeSums(r)
	case transferPoints:
		return c.takePoints(r)
	case transferPool:
		return c.takePool(r)
	}
	return nil
}

// maxTransfer bounds the body of one message; larger ones go in chunks.
const maxTransfer = 800_000

// transferTo sends a message to another task, or to oneself, in the transaction of the next Ready.
func (c *Core) transferTo(to int32, kind, name string, at schemas.EventTime, body []byte) {
	chunks := max((len(body)+maxTransfer-1)/maxTransfer, 1)
	for i := range chunks {
		part := body[i*maxTransfer : min((i+1)*maxTransfer, len(body))]
		c.ts.TransferOut++
		c.moves = append(c.moves, &schemas.Transfer{FromTask: c.cfg.Task, ToTask: to, Sequence: c.ts.TransferOut,
			Kind: kind, Name: name, At: at, Chunk: int32(i), Chunks: int32(chunks), Body: part})
		c.outBytes += len(part)
	}
	c.tsDirty = true
}

// ReadGenesis reads the body of a genesis record.
func ReadGenesis(r *schemas.Control) (Genesis, error) {
	var g Genesis
	if err := json.Unmarshal(r.Body, &g); err != nil {
		return g, fmt.Errorf("core: genesis record: %w", err)
	}
	return g, nil
}

// RuleNames is the dictionary of rule names in a store: the id of a rule is its place + 1.
func RuleNames(rd Reader) ([]string, error) {
	v, err := rd.Get(state.MetaKey(nil, "task"))
	if err != nil || v == nil {
		return nil, err
	}
	var ts taskState
	if err := json.Unmarshal(v, &ts); err != nil {
		return nil, fmt.Errorf("core: task state: %w", err)
	}
	return ts.Names, nil
}
