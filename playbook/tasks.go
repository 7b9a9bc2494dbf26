package playbook

import (
	"time"

	"tidemark/schemas"
)

// Task (任务) is something that customers are asked to do, in one step or in
// several, once or again and again. What is done is a mark of the customer's own
// history, on a stream of the task's name: growth rules, facts and other tasks
// read it as they read a behavior.
type Task struct {
	Common
	Stream   int               // index into Playbook.Streams: its completions
	Entry    string            // name of the rule of phases that says who it is open to; "": everyone
	Opens    int               // index into Playbook.Streams: each event opens a round; -1: none
	Deadline schemas.EventTime // so long after the round opened; 0: none
	Window   string            // a round for each of this cycle; "": none
	Season   *Season           // nil: at all times
	Ever     bool              // what came before the task was in force counts too
	AtMost   int64             // completions in a round; 0: any number
	Parallel bool              // steps in any order, else one after the other
	Steps    []TaskStep        // 1 to MaxSteps
	Rewards  []Reward
	Meaning  string // equal in two versions where the task and its facts are
}

// MaxSteps bounds the steps of a task: which of them are done is a byte of the state.
const MaxSteps = 8

// StepKind says what a step asks for.
type StepKind uint8

const (
	StepTimes  StepKind = iota // so many events
	StepSum                    // so much of their values
	StepStreak                 // so many local days in a row
	StepDays                   // so many local days since the first event ever
)

// TaskStep is one step of a task.
type TaskStep struct {
	Name    string
	Kind    StepKind
	Stream  int
	Need    int64
	Within  schemas.EventTime // of the first step, and in parallel: all in so long a time; later ones: so long after the step before; 0: no bound
	MakeUp  int               // StepStreak: stream of make-ups; -1: none
	MakeUps int64
}

// Reward is what a completed task gives.
type Reward struct {
	Growth string // name of the growth rule, or
	Ledger string // of the ledger
	Gives  int64
	Lock   *Lock // nil: it counts at once
}

// Lock holds an award until the next event of a stream.
type Lock struct {
	Stream int
	Within schemas.EventTime // no event in so long a time: it never counts; 0: no bound
}

// Season is a span of local days: of one year, or of every year.
type Season struct {
	From, Until SeasonDay // Until is not in it
}

// SeasonDay is the first instant of a local day; Year 0 is every year.
type SeasonDay struct{ Year, Month, Day int }

// Number is the day's number in a year, 0 being 1970-01-01.
func (d SeasonDay) Number(year int) int64 {
	return time.Date(year, time.Month(d.Month), d.Day, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

// Days are the season that holds a local day, by number; false: none does.
func (s *Season) Days(day int64) (from, until int64, ok bool) {
	if s.From.Year != 0 {
		from, until = s.From.Number(s.From.Year), s.Until.Number(s.Until.Year)
		return from, until, from <= day && day < until
	}
	year := time.Unix(day*86400, 0).UTC().Year()
	for y := year - 1; y <= year; y++ {
		from, until = s.From.Number(y), s.Until.Number(y)
		if until <= from { // over the turn of the year
			until = s.Until.Number(y + 1)
		}
		if from <= day && day < until {
			return from, until, true
		}
	}
	return 0, 0, false
}
