package rfm

import (
	"errors"
	"fmt"
)

// ErrMap is wrapped by what Map.Validate returns.
var ErrMap = errors.New("rfm: map")

// Range is a score from Low to High, both included.
type Range struct {
	Low  int32 `json:"low"`
	High int32 `json:"high"`
}

func (r Range) holds(s int32) bool { return r.Low <= s && s <= r.High }

// Class is a name for a box of scores.
type Class struct {
	Key     string `json:"key"` // what stands in triggers and playbooks
	Name    string `json:"name"`
	Chinese string `json:"zh"`
	R       Range  `json:"r"`
	F       Range  `json:"f"`
	M       Range  `json:"m"`
}

// Map gives each combination of scores a class: the first that holds, else Other.
type Map struct {
	Name    string  `json:"name"`
	Scores  int32   `json:"scores"` // the highest score: one more than the cuts of each dimension
	Classes []Class `json:"classes"`
	Other   Class   `json:"other"` // its ranges say nothing
}

// Class returns the key of the class of these scores.
func (m *Map) Class(s Scores) string {
	for i := range m.Classes {
		c := &m.Classes[i]
		if c.R.holds(s.R) && c.F.holds(s.F) && c.M.holds(s.M) {
			return c.Key
		}
	}
	return m.Other.Key
}

// Fits tells whether cuts give the scores that the map reads.
func (m *Map) Fits(c *Cuts) error {
	n := int(m.Scores) - 1
	if len(c.R) != n || len(c.F) != n || len(c.M) != n {
		return fmt.Errorf("%w %q reads scores from 1 to %d and needs %d cuts, has %d for r, %d for f, %d for m",
			ErrMap, m.Name, m.Scores, n, len(c.R), len(c.F), len(c.M))
	}
	return nil
}

// Validate reports every class without or with a repeated key, and every range
// that is empty or outside the scores. A class that an earlier one covers is no
// error.
func (m *Map) Validate() error {
	var errs []error
	if m.Scores < 2 || m.Scores > 100 {
		errs = append(errs, fmt.Errorf("%w %q: %d scores, must be from 2 to 100", ErrMap, m.Name, m.Scores))
	}
	if m.Other.Key == "" {
		errs = append(errs, fmt.Errorf("%w %q: no class for the rest", ErrMap, m.Name))
	}
	seen := map[string]bool{m.Other.Key: true}
	for i, c := range m.Classes {
		if c.Key == "" || seen[c.Key] {
			errs = append(errs, fmt.Errorf("%w %q: class %d: key %q is empty or stands twice", ErrMap, m.Name, i+1, c.Key))
		}
		seen[c.Key] = true
		for _, d := range []struct {
			name string
			r    Range
		}{{"r", c.R}, {"f", c.F}, {"m", c.M}} {
			if d.r.Low < 1 || d.r.High > m.Scores || d.r.Low > d.r.High {
				errs = append(errs, fmt.Errorf("%w %q: class %q: %s from %d to %d, must lie in 1 to %d",
					ErrMap, m.Name, c.Key, d.name, d.r.Low, d.r.High, m.Scores))
			}
		}
	}
	return errors.Join(errs...)
}

// Maps lists the names of the built-in maps.
func Maps() []string { return []string{"eight", "putler"} }

// MapNamed returns a built-in map of its own, free to be changed.
func MapNamed(name string) (*Map, bool) {
	switch name {
	case "eight":
		return eight(), true
	case "putler":
		return putler(), true
	}
	return nil, false
}

func putler() *Map {
	grid := func(key, name, chinese string, r, fm Range) Class {
		return Class{Key: key, Name: name, Chinese: chinese, R: r, F: fm, M: fm}
	}
	return &Map{
		Name:   "putler",
		Scores: 5,
		Classes: []Class{
			grid("champions", "Champions", "冠军客户", Range{4, 5}, Range{4, 5}),
			grid("loyal", "Loyal", "忠诚客户", Range{2, 5}, Range{3, 5}),
			grid("potential_loyalist", "Potential Loyalist", "潜在忠诚客户", Range{3, 5}, Range{1, 3}),
			grid("new_customers", "New Customers", "新客户", Range{4, 5}, Range{1, 1}),
			grid("promising", "Promising", "有潜力客户", Range{3, 4}, Range{1, 1}),
			grid("need_attention", "Need Attention", "需要关注客户", Range{2, 3}, Range{2, 3}),
			grid("about_to_sleep", "About To Sleep", "即将沉睡客户", Range{2, 3}, Range{1, 2}),
			grid("at_risk", "At Risk", "流失风险客户", Range{1, 2}, Range{2, 5}),
			grid("cant_lose_them", "Can't Lose Them", "不能失去客户", Range{1, 1}, Range{4, 5}),
			grid("lost", "Lost", "流失客户", Range{1, 2}, Range{1, 2}),
		},
		Other: Class{Key: "others", Name: "Others", Chinese: "其他"},
	}
}

func eight() *Map {
	side := func(key, name, chinese string, r, f, m int32) Class {
		return Class{Key: key, Name: name, Chinese: chinese, R: Range{r + 1, r + 1}, F: Range{f + 1, f + 1}, M: Range{m + 1, m + 1}}
	}
	return &Map{
		Name:   "eight",
		Scores: 2,
		Classes: []Class{
			side("important_value", "Important, value", "重要价值客户", 1, 1, 1),
			side("important_develop", "Important, to develop", "重要发展客户", 1, 0, 1),
			side("important_keep", "Important, to keep", "重要保持客户", 0, 1, 1),
			side("important_retain", "Important, to retain", "重要挽留客户", 0, 0, 1),
			side("general_value", "General, value", "一般价值客户", 1, 1, 0),
			side("general_develop", "General, to develop", "一般发展客户", 1, 0, 0),
			side("general_keep", "General, to keep", "一般保持客户", 0, 1, 0),
			side("general_retain", "General, to retain", "一般挽留客户", 0, 0, 0),
		},
		Other: Class{Key: "unscored", Name: "Not scored", Chinese: "未评分"},
	}
}
