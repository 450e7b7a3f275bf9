package httpkey_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/inbox"
)

// payee notes the key of each request, and refuses the request of a number, once.
type payee struct {
	mu     sync.Mutex
	keys   []string // behind their method and path
	refuse int
}

func (b *payee) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = append(b.keys, r.Method+" "+r.URL.Path+" "+r.Header.Get(httpkey.Header))
	if len(b.keys) == b.refuse {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
}

// pay is what a handler sends: two requests to one path, one to another, and one that has
// a key of the caller's own.
func pay(ctx context.Context, client *http.Client, url string) error {
	own := []string{"", "", "", "mine"}
	for i, path := range []string{"/charges", "/charges", "/mails", "/charges"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, strings.NewReader("{}"))
		if err == nil && own[i] != "" {
			err = httpkey.SetKey(r.Header, own[i])
		}
		if err != nil {
			return err
		}
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("the payee answered %d", response.StatusCode)
		}
	}
	return nil
}

// TestHandlersSendTheSameKeys: a handler that fails in the middle and runs again sends
// the keys that it sent before, each request one of its own; for another message, others.
func TestHandlersSendTheSameKeys(t *testing.T) {
	client := &http.Client{Transport: &httpkey.Transport{Tries: 1}}
	for name, run := range map[string]func(t *testing.T, url string) (handle func(id string) error){
		"message": func(t *testing.T, url string) func(string) error {
			t.Helper()
			in, err := inbox.Lease(openLedger(t), inbox.Options{Name: "pay", Identity: "key", Window: time.Hour},
				func(ctx context.Context, _ hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
					return nil, pay(ctx, client, url)
				})
			if err != nil {
				t.Fatal(err)
			}
			return func(id string) error {
				_, err := in.Handle(t.Context(), &hapax.Message{Key: []byte(id)})
				return err
			}
		},
		"request": func(t *testing.T, url string) func(string) error {
			t.Helper()
			m := wrap(t, openLedger(t), options())
			h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := pay(r.Context(), client, url); err != nil {
					w.WriteHeader(http.StatusInternalServerError)
				}
			}))
			return func(id string) error {
				if w := serve(h, request(id, "{}")); w.Code != http.StatusOK {
					return fmt.Errorf("answered %d", w.Code)
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := &payee{refuse: 3}
			server := httptest.NewServer(b)
			t.Cleanup(server.Close)
			handle := run(t, server.URL)
			if handle("a") == nil {
				t.Fatal("a handler was refused, and it did not fail")
			}
			for _, id := range []string{"a", "b"} {
				if err := handle(id); err != nil {
					t.Fatal(err)
				}
			}
			if len(b.keys) != 3+4+4 || !slices.Equal(b.keys[:3], b.keys[3:6]) {
				t.Fatalf("sent %q and again %q", b.keys[:3], b.keys[3:])
			}
			if mine := `POST /charges "mine"`; b.keys[6] != mine || b.keys[10] != mine {
				t.Errorf("sent %q and %q, want the caller's own key", b.keys[6], b.keys[10])
			}
			each := map[string]bool{}
			for _, key := range append(b.keys[3:6:6], b.keys[7:10]...) {
				each[key[strings.LastIndexByte(key, ' '):]] = true
			}
			if len(each) != 6 {
				t.Errorf("%d keys for 6 requests: %q", len(each), b.keys)
			}
		})
	}
}

// TestNobodysRequest: outside of a handler, and by a Mint of the caller's, no key derives
// from anything.
func TestNobodysRequest(t *testing.T) {
	b := &payee{}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	for range 2 {
		if err := pay(t.Context(), &http.Client{Transport: &httpkey.Transport{}}, server.URL); err != nil {
			t.Fatal(err)
		}
	}
	if each := slices.Compact(slices.Sorted(slices.Values(b.keys))); len(each) != 7 {
		t.Errorf("keys are %q, want 6 and the caller's own", b.keys)
	}
}
