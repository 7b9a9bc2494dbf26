package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind is a kind of fault.
type Kind string

const (
	// Of one request or its answer; API says of which.
	LoseRequest   Kind = "lose-request"
	LoseResponse  Kind = "lose-response"
	DelayRequest  Kind = "delay-request"
	DelayResponse Kind = "delay-response"
	LateRequest   Kind = "late-request" // the connection ends, the broker acts later
	Duplicate     Kind = "duplicate"
	Refuse        Kind = "refuse" // answered with code N

	// Of a process. With an API they strike at its next such request, before the
	// broker acts or after it, before the answer is there.
	Kill         Kind = "kill"
	PowerLoss    Kind = "power-loss"    // N percent of what was not synced is left
	KillAtWrite  Kind = "kill-at-write" // at the N-th write to its disk
	Stop         Kind = "stop"          // cut off for a while, as by SIGSTOP or a network
	WipeDisk     Kind = "wipe-disk"
	CorruptTable Kind = "corrupt-table"
	SlowDisk     Kind = "slow-disk"
	FullDisk     Kind = "full-disk"
	ClockForward Kind = "clock-forward"
	ClockBack    Kind = "clock-back"

	// Of the group; N is a task.
	Rebalance Kind = "rebalance"
	TwoOwners Kind = "two-owners"
	Fence     Kind = "fence" // a stranger initialises the task's ids

	// Of the cluster; N is a broker, or a task for its coordinators.
	MoveLeaders      Kind = "move-leaders"
	MoveCoordinators Kind = "move-coordinators"
	RestartBroker    Kind = "restart-broker"      // what it was asked meanwhile was done, without an answer
	RestartTail      Kind = "restart-broker-tail" // was not done: it stood in the tail that was not replicated
	ExpireInput      Kind = "expire-input"

	RegistryAway Kind = "registry-away"

	// Of the blob store. What befalls one request to it is spelled as for brokers,
	// with BlobPut, BlobGet, BlobList as API.
	TornPut     Kind = "torn-put" // a name that holds less than was put
	BlobsAway   Kind = "blobs-away"
	BlobsSlow   Kind = "blobs-slow"
	MissingBlob Kind = "missing-blob"
	DamagedBlob Kind = "damaged-blob"
)

// Before and After are the stages of a request at which a fault may strike.
const (
	Before = "before"
	After  = "after"
)

// Fault is one line of a script.
type Fault struct {
	At    time.Duration
	Kind  Kind
	Proc  int    // process; -1: any
	API   string // "": at once
	Stage string
	For   time.Duration
	N     int
}

func (f *Fault) staged(stage string) bool {
	switch f.Kind {
	case LoseRequest, LoseResponse, DelayRequest, DelayResponse, LateRequest, Duplicate, Refuse, TornPut:
		return false
	}
	return f.Stage == stage
}

// Script is a whole run.
type Script struct {
	Seed   uint64
	Tasks  int32
	Procs  int
	Events int
	Until  time.Duration // load and faults end; what runs on must then catch up
	Faults []*Fault

	Standbys    int  // copies of each task that follow it elsewhere: 0 or 1
	Checkpoints bool // there is a blob store
}

// String is the form that Parse reads.
func (s Script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed=%d tasks=%d procs=%d events=%d until=%v standbys=%d checkpoints=%v\n", s.Seed, s.Tasks, s.Procs, s.Events, s.Until, s.Standbys, s.Checkpoints)
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "at=%v kind=%s proc=%d api=%s stage=%s for=%v n=%d\n", f.At, f.Kind, f.Proc, f.API, f.Stage, f.For, f.N)
	}
	return b.String()
}

// Parse reads a script. Lines that begin with # are for people.
func Parse(text string) (Script, error) {
	var s Script
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := &Fault{Proc: -1}
		isFault := false
		for _, word := range strings.Fields(line) {
			key, value, ok := strings.Cut(word, "=")
			var err error
			number := func(v any) { _, err = fmt.Sscan(value, v) }
			span := func(d *time.Duration) { *d, err = time.ParseDuration(value) }
			switch key {
			case "seed":
				number(&s.Seed)
			case "tasks":
				number(&s.Tasks)
			case "procs":
				number(&s.Procs)
			case "events":
				number(&s.Events)
			case "standbys":
				number(&s.Standbys)
			case "checkpoints":
				number(&s.Checkpoints)
			case "until":
				span(&s.Until)
			case "at":
				isFault = true
				span(&f.At)
			case "kind":
				f.Kind = Kind(value)
			case "proc":
				number(&f.Proc)
			case "api":
				f.API = value
			case "stage":
				f.Stage = value
			case "for":
				span(&f.For)
			case "n":
				number(&f.N)
			default:
				ok = false
			}
			if !ok || err != nil {
				return s, fmt.Errorf("sim: line %d: %q: %v", n+1, word, err)
			}
		}
		if isFault {
			s.Faults = append(s.Faults, f)
		}
	}
	return s, nil
}

var (
	requestKinds = []Kind{LoseRequest, LoseResponse, DelayRequest, DelayResponse, LateRequest, Duplicate, Refuse}
	processKinds = []Kind{Kill, PowerLoss, KillAtWrite, Stop, WipeDisk, CorruptTable, SlowDisk, FullDisk, ClockForward, ClockBack}
	blobKinds    = []Kind{BlobsAway, BlobsSlow, MissingBlob, DamagedBlob}
	worldKinds   = []Kind{Rebalance, TwoOwners, Fence, MoveLeaders, MoveCoordinators, RestartBroker, RestartTail, RegistryAway}
)

// Kinds lists every kind of fault.
func Kinds() []Kind {
	return slices.Concat(requestKinds, processKinds, worldKinds, blobKinds, []Kind{ExpireInput})
}

// Generate makes the script of a seed.
func Generate(seed uint64) Script {
	rng := rand.New(rand.NewPCG(seed, 7))
	s := Script{Seed: seed, Tasks: 1 + int32(rng.IntN(3)), Procs: 1 + rng.IntN(3), Events: 60 + rng.IntN(140), Until: 8 * time.Second}
	txnAPIs := []string{"InitProducerID", "AddPartitionsToTxn", "Produce", "EndTxn", "EndTxn"}
	anyAPIs := append([]string{"Fetch", "ListOffsets", "FindCoordinator", "Metadata"}, txnAPIs...)
	ms := func(from, to int) time.Duration { return time.Duration(from+rng.IntN(to-from)) * time.Millisecond }
	pick := func(from []string) string { return from[rng.IntN(len(from))] }
	for range 6 + rng.IntN(14) {
		f := &Fault{At: ms(20, int(s.Until.Milliseconds())), Proc: rng.IntN(s.Procs), For: ms(1, 400)}
		switch k := rng.IntN(20); {
		case k < 9:
			f.Kind = requestKinds[rng.IntN(len(requestKinds))]
			f.API = pick(anyAPIs)
			if f.Kind == LateRequest || f.Kind == LoseResponse {
				f.API = pick(txnAPIs)
			}
			if f.Kind == Duplicate {
				f.API = []string{"InitProducerID", "AddPartitionsToTxn", "Produce", "Produce", "ListOffsets", "Fetch"}[rng.IntN(6)]
			}
			if f.Kind == DelayRequest && rng.IntN(4) == 0 {
				f.For = ms(1500, 3500) // longer than the transaction may last
			}
			if f.Kind == Refuse {
				codes := map[string][]int{"Fetch": {6}, "ListOffsets": {6, 78}, "InitProducerID": {14, 15, 16, 51}, "AddPartitionsToTxn": {14, 15, 16, 51, 19},
					"Produce": {6, 19, 19, 7}, "EndTxn": {14, 15, 16, 51}}
				f.API = pick([]string{"Fetch", "ListOffsets", "InitProducerID", "AddPartitionsToTxn", "Produce", "EndTxn"})
				f.N = codes[f.API][rng.IntN(len(codes[f.API]))]
			}
		case k < 15:
			f.Kind = processKinds[rng.IntN(len(processKinds))]
			switch f.Kind {
			case Kill, PowerLoss:
				if rng.IntN(3) > 0 {
					f.API, f.Stage = pick(anyAPIs), []string{Before, After}[rng.IntN(2)]
				}
				f.N = rng.IntN(100)
			case KillAtWrite:
				f.N = 1 + rng.IntN(60)
			case Stop:
				f.For = ms(200, 4000)
			case SlowDisk:
				f.For, f.N = ms(300, 2000), 1+rng.IntN(30)
			case FullDisk:
				f.For = ms(200, 2000)
			case ClockForward, ClockBack:
				f.For = ms(500, 3600_000)
			}
		default:
			f.Kind = worldKinds[rng.IntN(len(worldKinds))]
			f.N = rng.IntN(int(s.Tasks))
			switch f.Kind {
			case Rebalance:
				if rng.IntN(2) == 0 {
					f.API, f.Stage = pick(txnAPIs), []string{Before, After}[rng.IntN(2)]
				}
			case TwoOwners:
				f.For = ms(200, 3000)
			case MoveLeaders, RestartBroker, RestartTail:
				f.N, f.For = rng.IntN(nodes), ms(50, 1000)
			case RegistryAway:
				f.For = ms(300, 2500)
			}
		}
		s.Faults = append(s.Faults, f)
	}
	if rng.IntN(12) == 0 {
		s.Faults = append(s.Faults, &Fault{At: ms(1000, 8000), Kind: ExpireInput, Proc: -1, N: rng.IntN(int(s.Tasks))})
	}
	s.more(rand.New(rand.NewPCG(seed, 13)))
	slices.SortStableFunc(s.Faults, func(a, b *Fault) int { return int(a.At - b.At) })
	return s
}

// more adds what a script has beside its brokers and processes: a blob store,
// standbys, and disks that stay full. It draws from a source of its own.
func (s *Script) more(rng *rand.Rand) {
	ms := func(from, to int) time.Duration { return time.Duration(from+rng.IntN(to-from)) * time.Millisecond }
	any := func() int { return rng.IntN(s.Procs) }
	if s.Procs > 1 && rng.IntN(2) == 0 {
		s.Standbys = 1
	}
	if rng.IntN(6) == 0 { // for long: others take over, or nobody can
		at := ms(500, 4000)
		s.Faults = append(s.Faults, &Fault{At: at, Kind: FullDisk, Proc: any(), For: ms(2500, int((s.Until - at).Milliseconds()))})
	}
	if s.Checkpoints = rng.IntN(2) == 0; !s.Checkpoints {
		return
	}
	kinds := []Kind{LoseRequest, LoseResponse, LateRequest, DelayRequest, Duplicate, TornPut}
	for range 1 + rng.IntN(6) {
		f := &Fault{At: ms(500, int(s.Until.Milliseconds())), Proc: any(), For: ms(1, 3000)}
		switch k := rng.IntN(10); {
		case k < 5:
			f.Kind, f.API = kinds[rng.IntN(len(kinds))], blobPut
			if f.Kind != TornPut && rng.IntN(4) == 0 {
				f.API = []string{blobGet, blobList}[rng.IntN(2)]
			}
		case k < 6:
			f.Kind, f.API, f.Stage, f.N = []Kind{Kill, PowerLoss}[rng.IntN(2)], []string{blobPut, blobPut, blobGet}[rng.IntN(3)], []string{Before, After}[rng.IntN(2)], rng.IntN(100)
		default:
			f.Kind, f.Proc = blobKinds[rng.IntN(len(blobKinds))], -1
		}
		s.Faults = append(s.Faults, f)
	}
	if rng.IntN(2) == 0 { // an empty disk, and at times no way back but a checkpoint
		at := ms(1500, 7000)
		s.Faults = append(s.Faults, &Fault{At: at, Kind: WipeDisk, Proc: any()})
		if rng.IntN(4) == 0 {
			s.Faults = append(s.Faults, &Fault{At: at - ms(1, 1000), Kind: ExpireInput, Proc: -1, N: rng.IntN(int(s.Tasks))})
		}
	}
}

// match finds the armed fault for a request and takes it.
func (w *world) match(r *request) *Fault {
	f := w.matched(r.name(), r.proc, r.key)
	if f != nil && !f.staged(Before) && !f.staged(After) {
		w.count(string(f.Kind))
	}
	return f
}

func (w *world) matched(api string, proc int, key string) *Fault {
	for i, f := range w.armed {
		if f.API == api && (f.Proc < 0 || f.Proc == proc) {
			w.armed = slices.Delete(w.armed, i, i+1)
			w.log.add("fault %s %s p%d", f.Kind, key, proc)
			return f
		}
	}
	return nil
}

// arm is called when a fault's time has come.
func (w *world) arm(f *Fault) {
	if f.API != "" {
		w.armed = append(w.armed, f)
		return
	}
	w.strike(f)
}

// strike does a fault that is not of one request.
func (w *world) strike(f *Fault) {
	w.log.add("fault %s proc %d n %d for %v", f.Kind, f.Proc, f.N, f.For)
	if w.hit(f) {
		w.count(string(f.Kind))
	}
}

// hit reports whether the fault could strike.
func (w *world) hit(f *Fault) bool {
	end := func(what string, do func()) { w.after(f.For, fmt.Sprint(f.Kind, f.At, " ends ", what), do) }
	var p *process
	if f.Proc >= 0 && slices.Contains(processKinds, f.Kind) {
		if p = w.procs[f.Proc]; p.link == nil || p.link.dead.Load() {
			return false
		}
	}
	switch f.Kind {
	case Kill:
		p.kill(100, nil)
	case PowerLoss:
		p.kill(f.N, nil)
	case KillAtWrite:
		p.disk.after.Store(int64(f.N))
	case Stop:
		p.link.until = max(p.link.until, w.now()+f.For)
		w.group.silent(p, f.For)
	case WipeDisk:
		p.kill(100, p.wipe)
	case CorruptTable:
		found := false
		p.kill(100, func() { found = corrupt(p.kept, dataDir, w.chance("corrupt")) })
		return found
	case SlowDisk:
		d := p.disk
		d.slow.Store(int64(f.N) * int64(time.Millisecond))
		end("", func() { d.slow.Store(0) })
	case FullDisk:
		p.full = max(p.full, w.now()+f.For)
		p.disk.full.Store(true)
		end(fmt.Sprint(p.n), func() {
			if p.full <= w.now() && p.link != nil {
				p.disk.full.Store(false)
			}
		})
	case ClockForward:
		p.skew.Add(int64(f.For))
	case ClockBack:
		p.skew.Add(-int64(f.For))
	case Rebalance:
		w.group.shift()
	case TwoOwners:
		return w.group.share(int32(f.N), f.For)
	case Fence:
		for i := range 2 {
			t := w.cluster.txn(fmt.Sprintf("tidemark-%s-%d-%d", app, f.N, i))
			if t.epoch >= 0 {
				w.cluster.initialise(t, t.timeout)
			}
		}
	case MoveLeaders:
		for _, name := range w.cluster.names {
			for _, part := range w.cluster.topics[name] {
				if part.leader == f.N {
					w.cluster.moveLeader(part, f.For)
				}
			}
		}
	case MoveCoordinators:
		for i := range 2 {
			w.cluster.moveCoordinator(w.cluster.txn(fmt.Sprintf("tidemark-%s-%d-%d", app, f.N, i)), f.For)
		}
	case RestartBroker, RestartTail:
		w.cluster.restart(f.N, f.For, f.Kind == RestartTail)
	case ExpireInput:
		return w.load.expire(int32(f.N))
	case RegistryAway:
		w.registry.away.Store(true)
		for _, p := range w.procs { // what they know of schemas goes with a process
			if p.link != nil && w.chance("forget").IntN(2) == 0 {
				p.kill(100, nil)
			}
		}
		end("", func() { w.registry.away.Store(false) })
	case BlobsAway:
		w.store.away = true
		end("", func() { w.store.away = false })
	case BlobsSlow:
		w.store.slow = max(w.store.slow, w.now()+f.For)
	case MissingBlob:
		return w.store.spoil(true)
	case DamagedBlob:
		return w.store.spoil(false)
	default:
		panic("sim: unknown fault " + f.Kind)
	}
	return true
}
