package httpkey

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// again tells whether a request is sent once more after try n, and when.
func (t *Transport) again(ctx context.Context, n int, response *http.Response, err error) (bool, time.Duration) {
	if ctx.Err() != nil || n >= orElse(t.Tries, defaultTries) || !mayHelp(response, err) {
		return false, 0
	}
	longest := orElse(t.Longest, defaultLongest)
	pause := orElse(t.Pause, defaultPause)
	for range n - 1 {
		if pause = 2 * pause; pause >= longest {
			break
		}
	}
	pause = min(pause, longest)
	pause -= rand.N(pause/2 + 1)
	if response != nil {
		after, _ := retryAfter(response.Header, time.Now())
		if after > longest {
			return false, 0
		}
		pause = max(pause, after)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
		return false, 0
	}
	return true, pause
}

// mayHelp tells whether another try may end better than this one.
func mayHelp(response *http.Response, err error) bool {
	if err != nil {
		refused := new(tls.CertificateVerificationError)
		return !errors.As(err, &refused)
	}
	if response.Header.Get(ReplayedHeader) == "true" {
		return false
	}
	switch response.StatusCode {
	case http.StatusConflict:
		_, told := retryAfter(response.Header, time.Now())
		return told
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads how long a server asks to wait: seconds or a date, RFC 9110
// section 10.2.3. One that can't be read is none.
func retryAfter(h http.Header, now time.Time) (after time.Duration, told bool) {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(date.Sub(now), 0), true
}
