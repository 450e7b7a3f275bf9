// Package durations is how adapters tell Prometheus how long things take: with one set of
// buckets, as native histograms too, and with exemplars.
package durations

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Buckets are those that are asked for, which must rise from above zero, or by default
// from half a millisecond to a minute.
func Buckets(asked []float64) ([]float64, error) {
	for i, b := range asked {
		if b <= 0 || i > 0 && b <= asked[i-1] {
			return nil, fmt.Errorf("buckets %v: want them rising, from above zero", asked)
		}
	}
	if len(asked) == 0 {
		return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, nil
	}
	return asked, nil
}

// Histogram has these buckets, and for servers that take native histograms ten or so to
// each doubling.
func Histogram(name, text string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: text, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}

// Observe notes a duration; one below zero, as clocks that differ make it, is zero.
func Observe(h prometheus.Observer, d time.Duration, exemplar prometheus.Labels) {
	seconds := max(d, 0).Seconds()
	if e, ok := h.(prometheus.ExemplarObserver); ok && exemplar != nil {
		e.ObserveWithExemplar(seconds, exemplar)
		return
	}
	h.Observe(seconds)
}
