package core

import (
	"encoding/binary"
	"fmt"
	"time"

	"tidemark/playbook"
	"tidemark/schemas"
)

// advance moves the clock to to and does on the way all that is due: what is
// due for the task as a whole, and timers of customers in order of (due,
// customer). With inclusive, timers due at to are fired too; without, events of
// that instant come first. It returns false if it must stop
// before: budget, or something to wait for.
func (c *Core) advance(to schemas.EventTime, inclusive bool) (bool, error) {
	c.did = 0
	for {
		if c.pb.Clock == playbook.Input {
			// In a history the world stands still while a sweep runs.
			if done, err := c.sweep(0); err != nil || !done {
				return false, err
			}
		}
		if c.forcedUnits >= 0 && c.did >= c.forcedUnits {
			// A replay stops where the journal says, though nothing else be due: the
			// first time it may have stopped before a timer that was not armed any more.
			return false, nil
		}
		t, haveTimer, err := c.nextTimer(to)
		if err != nil {
			return false, err
		}
		// What is due for the task as a whole comes first at its instant: a period
		// holds what happened before its end, and new cuts hold from their instant on.
		task, haveTask := c.nextDuty()
		if haveTimer && (!haveTask || t.due < task.at) {
			if t.due > to || t.due == to && !inclusive {
				break
			}
			if c.spent() {
				return false, nil
			}
			e, err := c.dueCustomer(t, to)
			if err != nil {
				return false, err
			}
			if e.Wake != t.due {
				continue // moved since; nextTimer drops it now that the row is known
			}
			c.pos.Clock = max(c.pos.Clock, t.due)
			c.pos.Fired = max(c.pos.Fired, t.due-1)
			c.unit()
			c.stats.Timers++
			c.stats.TimerLate = max(c.stats.TimerLate, c.wall-t.due)
			c.ahead(e)
			if err := c.wake(e, t.due); err != nil {
				return false, err
			}
			continue
		}
		if haveTask {
			if task.at > to {
				break
			}
			if c.spent() {
				return false, nil
			}
			if task.kind == dutyBarrier {
				c.blocked = "the cuts of " + task.rule.pb.Name + " as of " + time.UnixMilli(int64(task.end)).In(c.pb.Zone).Format(time.RFC3339)
				return false, nil
			}
			c.pos.Clock = max(c.pos.Clock, task.at)
			c.unit()
			if err := c.duty(task); err != nil {
				return false, err
			}
			continue
		}
		break
	}
	c.pos.Clock = max(c.pos.Clock, to)
	if inclusive {
		c.pos.Fired = max(c.pos.Fired, to)
	} else {
		c.pos.Fired = max(c.pos.Fired, to-1)
	}
	c.did = 0
	return true, nil
}

func (c *Core) unit() { c.units++; c.did++ }

// spent says whether the next unit of work must wait for the next Ready.
func (c *Core) spent() bool {
	if c.forcedUnits >= 0 {
		return c.did >= c.forcedUnits
	}
	return c.over()
}

// partial journals an advance that stopped on its way, by the units it did.
func (c *Core) partial(to, wall schemas.EventTime) error {
	if c.did == 0 {
		return nil
	}
	c.journalTick(to, wall, binary.AppendUvarint(nil, uint64(c.did)))
	c.did = 0
	return nil
}

func (c *Core) journalTick(to, wall schemas.EventTime, place []byte) {
	if k := len(c.items) - 1; place == nil && k >= 0 && c.items[k].Kind == schemas.TickItem && len(c.items[k].Place) == 0 && c.idle {
		// Two ticks are one if the first did nothing: what fired in it was judged by its own wall.
		c.items[k].To, c.items[k].Wall = to, wall
		return
	}
	c.items = append(c.items, schemas.JournalItem{Kind: schemas.TickItem, To: to, Wall: wall, Place: place})
}

// Replay does what a journal item says was done: a tick to its end, or so far
// as it came. Items of records are replayed by Take with the same records.
func (c *Core) Replay(it *schemas.JournalItem) error {
	c.wall = it.Wall
	c.blocked = ""
	switch it.Kind {
	case schemas.TickItem:
		if len(it.Place) == 0 {
			done, err := c.Tick(it.To, it.Wall)
			if err == nil && !done {
				err = fmt.Errorf("core: replay: the tick to %d did not reach its end (%s)", it.To, c.blocked)
			}
			return err
		}
		n, k := binary.Uvarint(it.Place)
		if k <= 0 {
			return fmt.Errorf("core: replay: bad place in a journal item")
		}
		c.forcedUnits = int(n)
		_, err := c.advance(it.To, true)
		if err == nil && c.did != int(n) {
			err = fmt.Errorf("core: replay: did %d of %d units", c.did, n)
		}
		c.forcedUnits = replayUnits
		if err != nil {
			return err
		}
		return c.partial(it.To, it.Wall)
	case schemas.SweepItem:
		n, k := binary.Uvarint(it.Place)
		if k <= 0 {
			return fmt.Errorf("core: replay: bad place in a journal item")
		}
		c.forcedUnits = int(n)
		_, err := c.Sweep(0, it.Wall)
		c.forcedUnits = replayUnits
		return err
	}
	return fmt.Errorf("core: replay: unknown item kind %d", it.Kind)
}

// replayUnits stands for no bound while a journal is replayed.
const replayUnits = 1 << 62

// SetReplay turns budgets off while a journal is replayed, and on again.
func (c *Core) SetReplay(on bool) {
	c.forcedUnits = -1
	if on {
		c.forcedUnits = replayUnits
	}
}
