package proc

import (
	"context"
	"fmt"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics are what a Prometheus endpoint said at one moment.
type Metrics map[string]*dto.MetricFamily

// Scrape reads http://addr/metrics.
func Scrape(ctx context.Context, addr string) (Metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	return p.TextToMetricFamilies(resp.Body)
}

// Sum adds a counter or gauge up over all its labels; 0 if it is not there.
func (m Metrics) Sum(name string) float64 {
	sum := 0.0
	m.each(name, func(_ *dto.Metric, v float64) { sum += v })
	return sum
}

// By adds a counter or gauge up by the values of one label.
func (m Metrics) By(name, label string) map[string]float64 {
	by := map[string]float64{}
	m.each(name, func(x *dto.Metric, v float64) {
		key := ""
		for _, l := range x.Label {
			if l.GetName() == label {
				key = l.GetValue()
			}
		}
		by[key] += v
	})
	return by
}

func (m Metrics) each(name string, fn func(*dto.Metric, float64)) {
	f := m[name]
	if f == nil {
		return
	}
	for _, x := range f.Metric {
		switch {
		case x.Counter != nil:
			fn(x, x.Counter.GetValue())
		case x.Gauge != nil:
			fn(x, x.Gauge.GetValue())
		case x.Untyped != nil:
			fn(x, x.Untyped.GetValue())
		}
	}
}
