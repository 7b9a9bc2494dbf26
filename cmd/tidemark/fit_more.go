package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"tidemark/fit"
	"tidemark/playbook"
	"tidemark/schemas"
)

type fitInflectionCmd struct {
	fitSource
	Within string  `help:"The time within which one more order counts." default:"90d"`
	Step   float64 `help:"By how much one more order must raise the chance of the next." default:"0.05"`
	Least  int     `help:"Customers that a channel or category needs to be told apart." default:"300"`
}

func (c *fitInflectionCmd) Run(ctx context.Context) error {
	within, err := wholeDays("--within", c.Within)
	if err != nil {
		return err
	}
	if !(c.Step > 0 && c.Step < 1) || c.Least < 1 {
		return usageError{fmt.Errorf("--step lies between 0 and 1, --least is above 0")}
	}
	h, _, err := c.history(ctx)
	if err != nil {
		return err
	}
	r, err := fit.Inflections(h, fit.InflectionOptions{Within: within, Step: c.Step, Least: c.Least})
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return c.json(struct {
			*fit.InflectionReport
			Block string `json:"block"`
		}{r, r.Block()})
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "group\tcustomers\tstable at\tdeclining\tlost\tearly lost\tdormant\t\n")
	for _, g := range r.Groups {
		fmt.Fprintf(w, "%s\t%d\t%d\t%dd\t%dd\t%dd\t%dd\t\n", g.Group, g.Customers, g.Stable, g.Declining, g.Lost, g.EarlyLost, g.Dormant)
	}
	_ = w.Flush()
	if r.Small > 0 {
		fmt.Printf("%d channels and categories have fewer than %d customers and are not told apart.\n", r.Small, c.Least)
	}
	for _, g := range r.Groups {
		for _, n := range g.Notes {
			fmt.Printf("%s: %s\n", g.Group, n)
		}
	}
	g := r.Groups[0]
	fmt.Printf("\nThe chance of one more within %d days, by days with an order so far (all):\n", r.Within)
	w = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "after\tcustomers\tchance\trise\t")
	for i, x := range g.Chances {
		rise := ""
		if i > 0 {
			rise = fmt.Sprintf("%+.3f", x.Chance-g.Chances[i-1].Chance)
		}
		fmt.Fprintf(w, "%d\t%d\t%.3f\t%s\t\n", x.After, x.Customers, x.Chance, rise)
	}
	_ = w.Flush()
	fmt.Printf("\nThe return curve of the stable (all): share still away, and chance of no return within %d days more:\n", r.Horizon)
	w = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "silence\taway\tno return\t")
	for i, x := range g.Curve {
		if i%2 == 1 && x.Days > 56 { // fortnights are enough to read
			continue
		}
		no := "-"
		if x.NoReturn >= 0 {
			no = fmt.Sprintf("%.3f", x.NoReturn)
		}
		fmt.Fprintf(w, "%dd\t%.3f\t%s\t\n", x.Days, x.Away, no)
	}
	_ = w.Flush()
	fmt.Printf("\nFor the playbook:\n\n%s", r.Block())
	return nil
}

type fitTiersCmd struct {
	fitSource
	Shares      string  `help:"Shares of customers by the highest level that they ever reach, the lowest first; they sum to 100." required:"" placeholder:"60,25,10,4,1"`
	Window      string  `help:"The rolling window of the growth value, or lifetime." default:"365d"`
	Points      float64 `help:"Points for each unit of money." default:"1"`
	PointWorth  float64 `name:"point-worth" help:"What a point costs, in units of money." default:"0.01"`
	Multipliers string  `help:"How many times the points each level earns, such as 1,1,1.2,1.5,2."`
}

func (c *fitTiersCmd) Run(ctx context.Context) error {
	o := fit.TierOptions{Points: c.Points, PointWorth: c.PointWorth}
	var err error
	if o.Shares, err = decimals("--shares", c.Shares); err != nil {
		return err
	}
	if c.Multipliers != "" {
		if o.Multipliers, err = decimals("--multipliers", c.Multipliers); err != nil {
			return err
		}
		if len(o.Multipliers) != len(o.Shares) {
			return usageError{fmt.Errorf("--multipliers: %d for %d shares", len(o.Multipliers), len(o.Shares))}
		}
	}
	sum := 0.0
	for _, s := range o.Shares {
		sum += s
	}
	if len(o.Shares) < 2 || sum < 99.99 || sum > 100.01 {
		return usageError{fmt.Errorf("--shares: %d shares that sum to %g; want two or more that sum to 100", len(o.Shares), sum)}
	}
	if c.Window != "lifetime" {
		if o.Window, err = wholeDays("--window", c.Window); err != nil {
			return err
		}
	}
	h, _, err := c.history(ctx)
	if err != nil {
		return err
	}
	r, err := fit.Tiers(h, o)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return c.json(struct {
			*fit.TierReport
			Block string `json:"block"`
		}{r, r.Block()})
	}
	fmt.Printf("%d customers, %.1f years, net %.2f %s.\n\n", r.Customers, r.Years, r.Revenue, r.Currency)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "level\treach\thighest ever\tshare\ton the last day\tupgrades a year\tdowngrades a year\tpoints cost\t")
	for _, l := range r.Levels {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.1f %%\t%d\t%.1f\t%.1f\t%.2f\t\n", l.Name, l.Reach, l.Highest, 100*l.Share, l.Now, l.Upgrades, l.Downgrades, l.PointsCost)
	}
	_ = w.Flush()
	fmt.Printf("\nPoints would have cost %.2f %s over the history, %.2f %% of what was paid.\n", r.PointsCost, r.Currency, 100*r.CostShare)
	for _, n := range r.Notes {
		fmt.Println(n)
	}
	fmt.Printf("\nFor the playbook:\n\n%s", r.Block())
	return nil
}

type fitWindowCmd struct {
	fitSource
	From string `help:"The behavior with which a lead begins." default:"lead.created"`
	To   string `help:"The behavior that is its conversion; order: the customer's first payment after it." default:"lead.visited"`
	Lost string `help:"The behavior that ends a lead without conversion." default:"lead.lost"`
}

func (c *fitWindowCmd) Run(ctx context.Context) error {
	l := fit.NewLeads(c.From, c.To, c.Lost)
	if _, _, err := c.read(ctx, l.Add); err != nil {
		return err
	}
	r, err := l.Window()
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return c.json(r)
	}
	fmt.Printf("%d leads from %s, %d of them with %s.\n\n", r.Leads, r.From, r.Converted, r.To)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "day\topen\tconverted\ta day\tover 3 days\t")
	for _, x := range r.Curve {
		if x.Day > 2*r.Days+7 {
			break
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%.4f\t%.4f\t\n", x.Day, x.AtRisk, x.Converted, x.Hazard, x.Smooth)
	}
	_ = w.Flush()
	for _, n := range r.Notes {
		fmt.Println(n)
	}
	fmt.Printf("\nGolden window (黄金转化期): %d days; the peak is on day %d, %.1f %% of the conversions come within the window.\n", r.Days, r.Peak, 100*r.Inside)
	return nil
}

func wholeDays(flag, s string) (int, error) {
	d, err := playbook.ParseDuration(s)
	if err != nil || d%schemas.Day != 0 || d <= 0 {
		return 0, usageError{fmt.Errorf("%s: %q is no duration of whole days, such as 90d", flag, s)}
	}
	return int(d / schemas.Day), nil
}

func decimals(flag, s string) ([]float64, error) {
	var out []float64
	for _, p := range strings.Split(s, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || !(x > 0) || x > 1e9 {
			return nil, usageError{fmt.Errorf("%s: %q is no number above 0", flag, p)}
		}
		out = append(out, x)
	}
	return out, nil
}
