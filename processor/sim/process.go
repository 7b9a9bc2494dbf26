package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	kafka "github.com/segmentio/kafka-go"

	"tidemark/processor/group"
	"tidemark/processor/runtime"
)

const (
	app     = "sim"
	dataDir = "/data"
)

var topics = runtime.TopicsOf(app, "")

// process is one machine: its disk stays when what runs on it ends.
type process struct {
	w     *world
	n     int
	life  int
	kept  *vfs.MemFS // while nothing runs
	disk  *disk
	link  *link // nil while nothing runs
	m     *runtime.Manager
	skew  atomic.Int64
	full  time.Duration // the disk is full until then
	ctx   context.Context
	end   context.CancelFunc
	conns *kafka.Transport

	refused  atomic.Int64 // writes that met a full disk
	mu       sync.Mutex
	paused   map[int32]string // tasks that stopped for good
	follows  map[int32]bool   // tasks whose journal is followed here
	promoted int              // tasks that then ran here
}

func newProcess(w *world, n int) *process {
	return &process{w: w, n: n, kept: newMem(), paused: map[int32]string{}, follows: map[int32]bool{}}
}

// boot starts the real thing.
func (p *process) boot() {
	w := p.w
	if p.link != nil || w.over {
		return
	}
	p.life++
	l := &link{w: w, proc: p.n, life: p.life, conns: map[*conn]bool{}}
	life := p.life
	d := newDisk(p.kept, l, func() {
		w.post(nil, func() {
			if p.life == life && p.link != nil {
				p.kill(100, nil)
			}
		})
	})
	d.refused = &p.refused
	d.full.Store(p.full > w.now())
	p.conns = &kafka.Transport{ClientID: fmt.Sprint("p", p.n), Dial: l.dial, MetadataTTL: 700*time.Millisecond + time.Duration(p.n)*13*time.Millisecond, IdleTimeout: time.Hour}
	odd := time.Duration(p.n*17+p.life*3) * 1013 * time.Microsecond // no two timers strike together
	cfg := runtime.Config{App: app, Instance: fmt.Sprintf("p%d.%d", p.n, p.life), DataDir: dataDir, FS: d.fs, Brokers: []string{bootstrap}, Transport: p.conns,
		Topics: topics, Tasks: w.script.Tasks, Group: app, Registry: w.registry, Log: w.log.logger(fmt.Sprintf("p%d.%d", p.n, p.life)),
		TransactionTimeout: 2 * time.Second, FetchMaxWait: 250*time.Millisecond + odd, ProbeEvery: 100*time.Millisecond + odd, IdleDelay: 200*time.Millisecond + odd,
		BeatDelay: 700*time.Millisecond + odd, BackoffMin: 50 * time.Millisecond, BackoffMax: time.Second, MaxEvents: 40, MaxTriggers: 25, CacheBytes: 1 << 14, MemTable: 64 << 10,
		PartitionMaxBytes: 2 << 10, Now: func() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) },
		OnState: func(task int32, state, detail string) {
			if l.dead.Load() {
				return
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if state == "paused" {
				p.paused[task] = detail
			} else if state == "running" {
				delete(p.paused, task)
				if p.follows[task] {
					p.promoted++
				}
				delete(p.follows, task)
			} else if state == "standby" {
				p.follows[task] = true
			}
		}}
	if w.script.Checkpoints {
		cfg.Checkpoints, cfg.CheckpointEvery = &bucket{l}, time.Second+odd
	}
	c := w.wrong.commit()
	c.Apply = func() { // outside the store's own locks: under them the bubble's clock would stand still
		if ns := d.slow.Load(); ns > 0 && !l.dead.Load() {
			time.Sleep(time.Duration(ns))
		}
	}
	cfg.Seam(c)
	ctx, cancel := context.WithCancel(context.Background())
	m, err := runtime.NewManager(ctx, cfg)
	if err != nil { // the registry is away
		cancel()
		w.after(300*time.Millisecond, fmt.Sprintf("p%d boots again", p.n), p.boot)
		return
	}
	p.link, p.disk, p.m, p.ctx, p.end = l, d, m, ctx, cancel
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		m.CommitOffsets(ctx, 900*time.Millisecond+odd)
	}()
	w.log.add("p%d boots, life %d", p.n, p.life)
	w.after(time.Duration(w.chance("join").Int64N(int64(30*time.Millisecond))), fmt.Sprintf("p%d joins", p.n), func() { w.group.deal() })
}

// kill ends the process where it stands, leaving percent of what was not
// synced; what it still does in memory reaches nobody. It boots again later.
func (p *process) kill(percent int, then func()) {
	if p.link == nil {
		return
	}
	w, l, d := p.w, p.link, p.disk
	rng := w.chance(fmt.Sprintf("p%d crash", p.n))
	// Before anything wakes a goroutine that would go on writing: what is left is
	// of one instant.
	if left := d.left; left != nil {
		p.kept = crash(left, percent, rng)
	} else {
		p.kept = crash(d.mem, percent, rng)
	}
	l.dead.Store(true)
	l.cut(-1)
	w.log.add("p%d ends, %d%% of what was not synced is left", p.n, percent)
	p.wind()
	if then != nil {
		then()
	}
	w.after(time.Duration(50+rng.IntN(1200))*time.Millisecond, fmt.Sprintf("p%d boots", p.n), p.boot)
	w.after(time.Duration(200+rng.IntN(800))*time.Millisecond, fmt.Sprintf("p%d missed", p.n), func() { w.group.deal() })
}

// wind lets the goroutines of a life go.
func (p *process) wind() {
	w, m, l, end, conns := p.w, p.m, p.link, p.end, p.conns
	p.link, p.m = nil, nil
	p.mu.Lock()
	clear(p.paused)
	clear(p.follows)
	p.mu.Unlock()
	end()
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		m.Wait()
		l.dead.Store(true)
		l.cut(-1)
		conns.CloseIdleConnections()
	}()
}

// wipe gives the machine a new disk.
func (p *process) wipe() {
	p.kept = newMem()
}

// membership is the group: who is told to own what.
type membership struct {
	w      *world
	epoch  int32
	turn   int
	owners map[int32]int
	second map[int32]int         // standbys
	done   map[int]chan struct{} // of each process's present assignment
	shared map[int32]int         // tasks that a second process was given too
}

// deal gives every task to a process that lives, as few moving as may be.
func (g *membership) deal() {
	var alive []int
	for _, p := range g.w.procs {
		if p.link != nil && !p.link.dead.Load() {
			alive = append(alive, p.n)
		}
	}
	if len(alive) == 0 {
		return
	}
	if g.owners == nil {
		g.owners, g.done, g.shared, g.second = map[int32]int{}, map[int]chan struct{}{}, map[int32]int{}, map[int32]int{}
	}
	for t := range g.w.script.Tasks {
		if o, ok := g.owners[t]; !ok || !slices.Contains(alive, o) {
			g.owners[t] = alive[(int(t)+g.turn)%len(alive)]
			if s, ok := g.second[t]; ok && slices.Contains(alive, s) {
				g.owners[t] = s // promoted first
			}
		}
		delete(g.second, t)
		if len(alive) > 1 && g.w.script.Standbys > 0 {
			o := slices.Index(alive, g.owners[t])
			g.second[t] = alive[(o+1+int(t)%(len(alive)-1))%len(alive)]
		}
	}
	g.tell()
}

// shift moves every task on by one process.
func (g *membership) shift() {
	g.turn++
	clear(g.owners)
	g.deal()
}

func (g *membership) tell() {
	g.epoch++
	for _, p := range g.w.procs {
		if p.link == nil || p.link.dead.Load() || p.link.until > g.w.now() {
			continue // whoever is cut off hears nothing
		}
		a := group.Assignment{Generation: g.epoch, Member: fmt.Sprint("p", p.n)}
		for t := range g.w.script.Tasks {
			second, shared := g.shared[t]
			if g.owners[t] == p.n || shared && second == p.n {
				a.Tasks = append(a.Tasks, t)
			} else if s, ok := g.second[t]; ok && s == p.n {
				a.Standbys = append(a.Standbys, t)
			}
		}
		if old := g.done[p.n]; old != nil {
			closeOnce(old)
		}
		ch := make(chan struct{})
		g.done[p.n] = ch
		a.Done = ch
		a.Commit = func(offsets map[string]map[int]int64) error {
			link := p.link
			g.w.post(nil, func() {
				if link == nil || link.dead.Load() {
					return
				}
				for topic, ps := range offsets {
					if g.w.cluster.groups[topic] == nil {
						g.w.cluster.groups[topic] = map[int32]int64{}
					}
					for n, o := range ps {
						g.w.cluster.groups[topic][int32(n)] = o
					}
				}
			})
			return nil
		}
		p.m.Assign(p.ctx, a)
	}
}

func closeOnce(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}

// silent is a process that the group does not hear from: if that lasts longer
// than a session its tasks go to others, and it learns of it afterwards.
func (g *membership) silent(p *process, d time.Duration) {
	w, life := g.w, p.life
	session := 700 * time.Millisecond
	if d > session && len(w.procs) > 1 {
		w.after(session, fmt.Sprintf("p%d session", p.n), func() {
			if p.life != life || p.link == nil {
				return
			}
			if ch := g.done[p.n]; ch != nil {
				closeOnce(ch)
			}
			for t, o := range g.owners {
				if o == p.n {
					if s, ok := g.second[t]; ok && w.procs[s].link != nil && !w.procs[s].link.dead.Load() && w.procs[s].link.until <= w.now() {
						g.owners[t] = s
						continue
					}
					for i := 1; i < len(w.procs); i++ {
						q := w.procs[(p.n+i)%len(w.procs)]
						if q.link != nil && !q.link.dead.Load() && q.link.until <= w.now() {
							g.owners[t] = q.n
							break
						}
					}
				}
			}
			g.tell()
		})
	}
	w.after(d+5*time.Millisecond, fmt.Sprintf("p%d is back", p.n), func() { g.deal() })
}

// share gives a task to a second process while the first still believes.
func (g *membership) share(task int32, d time.Duration) bool {
	var others []int
	for _, p := range g.w.procs {
		if p.link != nil && !p.link.dead.Load() && g.owners[task] != p.n {
			others = append(others, p.n)
		}
	}
	if len(others) == 0 {
		return false
	}
	n := others[g.w.chance("share").IntN(len(others))]
	g.shared[task] = n
	g.tell()
	g.w.after(d, fmt.Sprintf("task %d shared no more", task), func() {
		if g.w.chance("share").IntN(2) == 0 {
			g.owners[task] = n
		}
		delete(g.shared, task)
		g.tell()
	})
	return true
}
