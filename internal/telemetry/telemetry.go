// Package telemetry tells an OpenTelemetry collector about runs: a trace with
// a span for the run and one for each action that computes, and metrics.
//
// It is off unless the environment asks for it in OpenTelemetry's own words:
// OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and
// OTEL_EXPORTER_OTLP_METRICS_ENDPOINT for one of the two; headers, timeouts,
// certificates, sampling and the service's name are read from their variables
// too. TRACEPARENT makes the run a part of a trace that is under way. Exports
// go by OTLP over HTTP. A collector that does not answer is said once and costs
// a run nothing but a moment at its end.
//
// The package knows no actions: its callers describe them.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/compressc/compressc"

// patience bounds what a collector that does not answer costs at the end.
const patience = 3 * time.Second

// Run is one run that is told of. All methods may be called on nil, which does
// nothing, and from several goroutines.
type Run struct {
	tracer  trace.Tracer
	root    trace.Span
	ctx     context.Context // of the root span
	close   []func(context.Context) error
	actions metric.Int64Counter
	seconds metric.Float64Histogram
	live    metric.Int64Gauge
	spilled metric.Int64Gauge

	mu    sync.Mutex
	spans map[spanKey]trace.Span
}

type spanKey struct {
	id     int
	rewind bool
}

// Action describes an action to people.
type Action struct {
	ID                  int // within the run
	Node, Label, Kernel string
	// Rewind says that it is on record and runs for its bytes.
	Rewind bool
}

func (a Action) attributes() []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("compressc.node", a.Node), attribute.String("compressc.label", a.Label),
		attribute.String("compressc.kernel", a.Kernel), attribute.Bool("compressc.rewind", a.Rewind)}
}

// signal reports whether the environment asks for traces or metrics.
func signal(name string) (bool, error) {
	if off, _ := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); off {
		return false, nil
	}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_"+name+"_ENDPOINT") == "" {
		return false, nil
	}
	switch e := os.Getenv("OTEL_" + name + "_EXPORTER"); e {
	case "", "otlp":
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("OTEL_%s_EXPORTER=%s: only otlp and none are known", name, e)
	}
	for _, v := range []string{"OTEL_EXPORTER_OTLP_" + name + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := os.Getenv(v); p != "" && p != "http/protobuf" {
			return false, fmt.Errorf("%s=%s: only http/protobuf is known; collectors take it at port 4318", v, p)
		}
	}
	return true, nil
}

// Start begins to tell of a run of a pipeline, if the environment asks for it;
// otherwise the result is nil. say is told, once, of a collector that does not
// take what it is sent; it may be called from another goroutine. ctx is of the
// start alone.
func Start(ctx context.Context, pipeline, version string, say func(string)) (*Run, error) {
	traces, err := signal("TRACES")
	metrics, err2 := signal("METRICS")
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	if !traces && !metrics {
		return nil, nil
	}
	var once sync.Once
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		once.Do(func() { say(fmt.Sprintf("telemetry: %v; the run goes on without", err)) })
	}))
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "compressc"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	r := &Run{spans: map[spanKey]trace.Span{}}
	tp := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSampler(sdktrace.NeverSample()))
	if traces {
		e, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		tp = sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(e))
		r.close = append(r.close, tp.Shutdown)
	}
	r.tracer = tp.Tracer(scope, trace.WithInstrumentationVersion(version))
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithResource(about))
	if metrics {
		e, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		mp = sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(sdkmetric.NewPeriodicReader(e)))
		r.close = append(r.close, mp.Shutdown)
	}
	if err := r.instruments(mp.Meter(scope, metric.WithInstrumentationVersion(version))); err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	// The run outlives ctx's cancellation by its own end.
	parent := propagation.TraceContext{}.Extract(context.WithoutCancel(ctx), propagation.MapCarrier{
		"traceparent": os.Getenv("TRACEPARENT"), "tracestate": os.Getenv("TRACESTATE")})
	r.ctx, r.root = r.tracer.Start(parent, "compressc run", trace.WithAttributes(attribute.String("compressc.pipeline", pipeline)))
	return r, nil
}

func (r *Run) instruments(m metric.Meter) error {
	var errs [4]error
	r.actions, errs[0] = m.Int64Counter("compressc.actions", metric.WithDescription("Actions that ended, by status."))
	r.seconds, errs[1] = m.Float64Histogram("compressc.action.duration", metric.WithUnit("s"), metric.WithDescription("Wall time of the actions that computed."))
	r.live, errs[2] = m.Int64Gauge("compressc.memory.live", metric.WithUnit("By"), metric.WithDescription("Transient outputs in memory."))
	r.spilled, errs[3] = m.Int64Gauge("compressc.memory.spilled", metric.WithUnit("By"), metric.WithDescription("Transient outputs written to files so far."))
	return errors.Join(errs[:]...)
}

// Started tells that an action computes.
func (r *Run) Started(a Action) {
	if r == nil {
		return
	}
	name := a.Kernel
	if a.Label != "" {
		name += " " + a.Label
	}
	_, span := r.tracer.Start(r.ctx, name, trace.WithAttributes(a.attributes()...))
	r.mu.Lock()
	r.spans[spanKey{a.ID, a.Rewind}] = span
	r.mu.Unlock()
}

// Finished tells how an action ended: status is "run", "cached", "failed" or
// "skipped". Of one that computed, seconds is the wall time.
func (r *Run) Finished(a Action, status string, seconds float64, err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	span := r.spans[spanKey{a.ID, a.Rewind}]
	delete(r.spans, spanKey{a.ID, a.Rewind})
	r.mu.Unlock()
	kind := metric.WithAttributes(attribute.String("compressc.kernel", a.Kernel), attribute.Bool("compressc.rewind", a.Rewind), attribute.String("compressc.status", status))
	r.actions.Add(r.ctx, 1, kind)
	if status == "run" {
		r.seconds.Record(r.ctx, seconds, metric.WithAttributes(attribute.String("compressc.kernel", a.Kernel)))
	}
	if span == nil {
		return // it did not compute
	}
	span.SetAttributes(attribute.String("compressc.status", status))
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, firstLine(err.Error()))
	}
	span.End()
}

// Memory tells what transient outputs take, and what was spilled so far.
func (r *Run) Memory(live, spilled int64) {
	if r == nil {
		return
	}
	r.live.Record(r.ctx, live)
	r.spilled.Record(r.ctx, spilled)
}

// End ends the run's span and sends what is left. status is the run's; one
// other than "ok" is an error of the span.
func (r *Run) End(status string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	for _, s := range r.spans { // cut off
		s.End()
	}
	clear(r.spans)
	r.mu.Unlock()
	r.root.SetAttributes(attribute.String("compressc.status", status))
	if status != "ok" {
		r.root.SetStatus(codes.Error, status)
	}
	r.root.End()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, f := range r.close {
		if err := f(ctx); err != nil {
			otel.Handle(err)
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
