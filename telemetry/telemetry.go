package telemetry

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// scope is the instrumentation scope of everything that is recorded here.
const scope = "tidemark"

// MinCustomerKey is the least length of Options.CustomerKey, in bytes.
const MinCustomerKey = 16

// ErrShortKey says that Options.CustomerKey is too short to hide anything.
var ErrShortKey = errors.New("telemetry: customer key is too short")

// Options configure Start. The zero value is a loopback endpoint on a free port.
type Options struct {
	// ServiceVersion and App become the resource's service.version and
	// tidemark.app. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME come after
	// them and win.
	ServiceVersion string
	App            string

	// HTTPAddr is host:port of the endpoint; "" means 127.0.0.1:0, a free port.
	HTTPAddr string

	// AllowRemote lets HTTPAddr be an address that other machines can reach
	// although Access asks nobody who they are. pprof is served on loopback
	// alone, since its heap dumps hold customers.
	AllowRemote bool

	// Access says who may read and who may operate; nil: everybody.
	Access *Access

	// TLS makes the endpoint speak HTTPS. For Access by certificates its
	// ClientAuth is VerifyClientCertIfGiven and its ClientCAs are set.
	TLS *tls.Config

	// Routes are served beside the endpoint's own.
	Routes []Route

	// CustomerKey makes the hashes of customers and the span ids of triggers the
	// same in every process that has it. At least MinCustomerKey bytes. Nil: a
	// random one, so that hashes can be compared within this process only.
	CustomerKey []byte

	// Logger gets what exporters and the endpoint complain about. Nil: nobody.
	Logger *slog.Logger
}

// Telemetry is what a process records with. Its fields are never nil.
type Telemetry struct {
	Metrics *Metrics
	Tracer  *Tracer
	Tasks   *Tasks

	log      *slog.Logger
	endpoint *endpoint
	stops    []func(context.Context) error
	stopOnce sync.Once
	stopErr  error
}

// Discard records nothing and serves nothing, except that Tasks can be asked.
// It is for tests and for verbs that run no task. Nothing has to be shut down.
func Discard() *Telemetry {
	tasks := newTasks(time.Now)
	m, err := newMetrics(noopmetric.MeterProvider{}, tasks, time.Now)
	if err != nil {
		panic(err) // the no-op meter refuses nothing
	}
	return &Telemetry{Metrics: m, Tracer: discardTracer(randomKey()), Tasks: tasks, log: slog.New(slog.DiscardHandler)}
}

// Start begins to record and to serve. On success Shutdown must be called.
//
// Exporters follow OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER (otlp,
// console, none; metrics also prometheus) and the OTEL_EXPORTER_OTLP_* variables
// of the OpenTelemetry specification. If a signal's exporter variable is unset,
// OTLP is used when an OTLP endpoint is set, and else nothing. OTEL_SDK_DISABLED
// =true turns all of it off, but not the endpoint, which is Tidemark's own.
// OTEL_TRACES_SAMPLER and its argument choose the sampler; an unknown one is
// logged and the default (parentbased_always_on) taken.
//
// Errors: ErrNotLoopback, ErrShortKey, an unknown exporter, an address that is
// in use. It replaces the process's otel.ErrorHandler, which is global, because
// exporters report failed exports nowhere else.
func Start(ctx context.Context, o Options) (_ *Telemetry, err error) {
	t := &Telemetry{log: o.Logger}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Shutdown(ctx))
		}
	}()

	key := o.CustomerKey
	if key == nil {
		key = randomKey()
	} else if len(key) < MinCustomerKey {
		return nil, fmt.Errorf("%w: %d bytes, at least %d are needed", ErrShortKey, len(key), MinCustomerKey)
	}

	log := t.log
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("telemetry", "error", err)
	}))

	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "tidemark"),
			attribute.String("service.version", o.ServiceVersion),
			attribute.String("tidemark.app", o.App),
		),
		resource.WithFromEnv(),
	)
	if err != nil {
		// A misspelt label is no reason to leave customers waiting.
		t.log.Warn("telemetry: OTEL_RESOURCE_ATTRIBUTES is used in part", "error", err)
	}

	if err := t.startTraces(ctx, res, key); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	if err := t.startMetrics(ctx, res, registry); err != nil {
		return nil, err
	}
	t.endpoint, err = listen(ctx, o, t.log,
		handlers{metrics: registry, tasks: t.Tasks, access: o.Access, routes: o.Routes})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Telemetry) startTraces(ctx context.Context, res *resource.Resource, key []byte) error {
	t.Tracer = discardTracer(key)
	if !exportAsked("TRACES") {
		return nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return fmt.Errorf("telemetry: OTEL_TRACES_EXPORTER=%q: %w", os.Getenv("OTEL_TRACES_EXPORTER"), err)
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return nil
	}
	processor := sdktrace.NewBatchSpanProcessor(exporter)
	tp := sdktrace.NewTracerProvider(
		sdktrace.WithResource(res),
		sdktrace.WithSpanProcessor(processor),
		sdktrace.WithIDGenerator(idGenerator{}),
	)
	t.stops = append(t.stops, func(ctx context.Context) error {
		// With a context that has ended the provider leaves its processors running.
		return errors.Join(processor.Shutdown(ctx), tp.Shutdown(ctx))
	})
	t.Tracer = newTracer(tp, key)
	return nil
}

func (t *Telemetry) startMetrics(ctx context.Context, res *resource.Resource, registry *prometheus.Registry) error {
	t.Tasks = newTasks(time.Now)
	prom, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return fmt.Errorf("telemetry: prometheus: %w", err)
	}
	options := []sdkmetric.Option{
		sdkmetric.WithResource(res),
		sdkmetric.WithReader(prom),
		// Ours are bounded in newMetrics; the SDK's own limit of 2000 would fold
		// the inputs of task 500 and up into one series.
		sdkmetric.WithCardinalityLimit(0),
	}
	if exportAsked("METRICS") {
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return errors.Join(
				fmt.Errorf("telemetry: OTEL_METRICS_EXPORTER=%q: %w", os.Getenv("OTEL_METRICS_EXPORTER"), err),
				prom.Shutdown(ctx))
		}
		if !autoexport.IsNoneMetricReader(reader) {
			options = append(options, sdkmetric.WithReader(reader))
		}
	}
	mp := sdkmetric.NewMeterProvider(options...)
	t.stops = append(t.stops, mp.Shutdown)
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	t.Metrics, err = newMetrics(mp, t.Tasks, time.Now)
	return err
}

func randomKey() []byte {
	key := make([]byte, 32)
	rand.Read(key) // never fails, see crypto/rand
	return key
}

// exportAsked says whether the environment asks to export signal, TRACES or METRICS.
func exportAsked(signal string) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	for _, name := range []string{
		"OTEL_" + signal + "_EXPORTER",
		"OTEL_EXPORTER_OTLP_" + signal + "_ENDPOINT",
		"OTEL_EXPORTER_OTLP_ENDPOINT",
	} {
		if os.Getenv(name) != "" {
			return true // where the first is "none", autoexport says so
		}
	}
	return false
}

// Addr is the address that the endpoint listens on, host:port; "" after Discard.
func (t *Telemetry) Addr() string {
	if t.endpoint == nil {
		return ""
	}
	return t.endpoint.addr.String()
}

// Handler serves what the endpoint serves, for a process that has another
// server too; nil after Discard.
func (t *Telemetry) Handler() http.Handler {
	if t.endpoint == nil {
		return nil
	}
	return t.endpoint.server.Handler
}

// DropTask forgets a task that this process no longer owns: it leaves /readyz,
// and its gauges end; its counters stay, as Prometheus expects of counters.
// Call it after the last call that names the task.
func (t *Telemetry) DropTask(task int32) {
	t.Tasks.Remove(task)
	t.Metrics.forget(task)
}

// Shutdown stops the endpoint, exports what waits and ends every goroutine.
// It waits no longer than ctx; an export that hangs then ends by the exporter's
// own timeout (OTEL_EXPORTER_OTLP_TIMEOUT, 10 s), after Shutdown has returned.
// A second call answers as the first did.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	t.stopOnce.Do(func() {
		stops := t.stops
		if t.endpoint != nil {
			stops = append(stops, t.endpoint.shutdown)
		}
		// Side by side: one that hangs must not use up the time of the others.
		errs := make([]error, len(stops))
		var wg sync.WaitGroup
		for i, stop := range stops {
			wg.Go(func() { errs[i] = stop(ctx) })
		}
		wg.Wait()
		t.stopErr = errors.Join(errs...)
	})
	return t.stopErr
}
