package examples

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// Charge makes an inbox that charges a card by the API of a payment service, once for
// each order's id, though the call is made again when its answer was lost: each call for
// an order has the same Idempotency-Key, and the service answers the second as it did the
// first. A copy of the message is given that answer without a call.
func Charge(seen hapax.Ledger, client *http.Client, api string) (*inbox.Inbox, error) {
	return inbox.Lease(seen, inbox.Options{
		Name: "charges", Identity: "json:order", Window: 24 * time.Hour, Duplicates: inbox.Replay(),
	}, func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, api, bytes.NewReader(m.Value))
		if err != nil {
			return nil, inbox.Permanent(err)
		}
		request.Header.Set("Idempotency-Key", inbox.ChildID(ctx, "charge"))
		response, err := client.Do(request)
		if err != nil {
			return nil, err // nobody knows whether it was charged: again, with the same key
		}
		defer func() { _ = response.Body.Close() }() // it was read, or the error is told
		answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		switch {
		case err != nil:
			return nil, err
		case response.StatusCode == http.StatusPaymentRequired: // declined: that is an answer
			return answer, nil
		case response.StatusCode >= http.StatusInternalServerError, response.StatusCode == http.StatusTooManyRequests:
			return nil, fmt.Errorf("charge: %s", response.Status)
		case response.StatusCode >= http.StatusBadRequest:
			return nil, inbox.Permanent(fmt.Errorf("charge: %s", response.Status))
		}
		return answer, nil
	})
}
