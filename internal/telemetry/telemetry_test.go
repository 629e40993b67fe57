package telemetry

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collectormetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is an OTLP collector in this process.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	spans   map[string]*tracepb.Span
	metrics map[string]int // data points by name
}

func newCollector(t *testing.T) *collector {
	c := &collector{spans: map[string]*tracepb.Span{}, metrics: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = c.take(r.URL.Path, body)
		}
		if err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(path string, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch path {
	case "/v1/traces":
		var req collectortrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			return err
		}
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					c.spans[s.Name] = s
				}
			}
		}
	case "/v1/metrics":
		var req collectormetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			return err
		}
		for _, rm := range req.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					c.metrics[m.Name] += len(m.GetSum().GetDataPoints()) + len(m.GetHistogram().GetDataPoints()) + len(m.GetGauge().GetDataPoints())
				}
			}
		}
	default:
		return errors.New("a request to " + path)
	}
	return nil
}

func quiet(t *testing.T) {
	for _, v := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "TRACEPARENT"} {
		t.Setenv(v, "")
	}
}

func TestRunIsTold(t *testing.T) {
	quiet(t)
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r, err := Start(t.Context(), "p", "1.2.3", func(s string) { t.Error(s) })
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	good := Action{ID: 1, Node: "prune.a", Label: "block 0", Kernel: "prune.wanda"}
	bad := Action{ID: 2, Node: "quantize.b", Label: "block 1", Kernel: "quantize.gptq"}
	r.Started(good)
	r.Started(bad)
	r.Finished(good, "run", 0.5, nil)
	r.Finished(bad, "failed", 0, errors.New("no convergence\nmore"))
	r.Finished(Action{ID: 3, Kernel: "walk"}, "cached", 0, nil)
	r.Started(Action{ID: 4, Kernel: "cut off"})
	r.Memory(100, 7)
	r.End("failed")

	root, a, b := c.spans["compressc run"], c.spans["prune.wanda block 0"], c.spans["quantize.gptq block 1"]
	if root == nil || a == nil || b == nil || c.spans["cut off"] == nil || len(c.spans) != 4 {
		t.Fatalf("spans %v", c.spans)
	}
	if string(a.ParentSpanId) != string(root.SpanId) || string(a.TraceId) != string(root.TraceId) || root.TraceId[0] != 0x0a || root.ParentSpanId[0] != 0xb7 {
		t.Error("the spans do not hang together, or not on the trace under way")
	}
	if a.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR || b.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || b.Status.GetMessage() != "no convergence" {
		t.Errorf("statuses %v, %v", a.Status, b.Status)
	}
	for name, points := range map[string]int{"compressc.actions": 3, "compressc.action.duration": 1, "compressc.memory.live": 1, "compressc.memory.spilled": 1} {
		if c.metrics[name] != points {
			t.Errorf("%s has %d points, want %d", name, c.metrics[name], points)
		}
	}
}

func TestOnlyWhatIsAskedFor(t *testing.T) {
	quiet(t)
	if r, err := Start(t.Context(), "p", "", nil); r != nil || err != nil {
		t.Errorf("nothing is asked for: %v, %v", r, err)
	}
	var none *Run
	none.Started(Action{})
	none.Finished(Action{}, "run", 1, nil)
	none.Memory(1, 1)
	none.End("ok")

	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", c.URL+"/v1/metrics")
	r, err := Start(t.Context(), "p", "", func(s string) { t.Error(s) })
	if err != nil {
		t.Fatal(err)
	}
	r.Started(Action{Kernel: "k"})
	r.Finished(Action{Kernel: "k"}, "run", 1, nil)
	r.End("ok")
	if len(c.spans) != 0 || c.metrics["compressc.actions"] != 1 {
		t.Errorf("spans %v, metrics %v", c.spans, c.metrics)
	}
	t.Setenv("OTEL_SDK_DISABLED", "true")
	if r, err := Start(t.Context(), "p", "", nil); r != nil || err != nil {
		t.Errorf("disabled: %v, %v", r, err)
	}
	t.Setenv("OTEL_SDK_DISABLED", "")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	if _, err := Start(t.Context(), "p", "", nil); err == nil || !strings.Contains(err.Error(), "http/protobuf") {
		t.Errorf("a protocol that is not known: %v", err)
	}
}

// A collector that refuses is said once and fails nothing.
func TestCollectorRefuses(t *testing.T) {
	quiet(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer s.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.URL)
	var mu sync.Mutex
	var said []string
	r, err := Start(t.Context(), "p", "", func(s string) { mu.Lock(); said = append(said, s); mu.Unlock() })
	if err != nil {
		t.Fatal(err)
	}
	r.Started(Action{Kernel: "k"})
	r.Finished(Action{Kernel: "k"}, "run", 1, nil)
	r.End("ok")
	if len(said) != 1 || !strings.Contains(said[0], "goes on") {
		t.Errorf("said %q", said)
	}
}
