package httpkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

// account tells whose secret key a request is signed with. It is what Stripe calls an
// account, and what a session's user is elsewhere.
func account(r *http.Request) (string, error) {
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if ann := map[string]string{"sk_ann": "acct_ann", "sk_bob": "acct_bob"}[secret]; ok && ann != "" {
		return ann, nil
	}
	return "", errors.New("no valid secret key")
}

// bank is where cards are charged: what it takes can't be taken back by a rollback.
type bank struct{ charged atomic.Int64 }

// charge is the handler of POST /v1/charges. It knows nothing of keys, but hands one
// on to the bank, which closes the gap between the charge and the response's being
// kept.
func (b *bank) charge(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Amount int64  `json:"amount"`
		Card   string `json:"card"`
	}
	if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = httpkey.ChildID(r.Context(), "charge") // the Idempotency-Key of the request to the bank
	n := b.charged.Add(order.Amount)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"amount":%d,"charged":%d}`, order.Amount, n)
}

// payments is the API. A ledger in a directory remembers over restarts; servers that
// stand for each other share one in Redis (adapter/redisdb).
func payments(b *bank, l hapax.Ledger) http.Handler {
	once, err := httpkey.New(l, httpkey.Options{
		Name:      "charges",
		Tenant:    account,
		Window:    24 * time.Hour,    // that of the ledger
		Final:     httpkey.AnyStatus, // as Stripe: errors of ours are given again too
		MaxBody:   64 << 10,
		Responses: httpkey.Stored,
	})
	if err != nil {
		log.Fatal(err)
	}
	api := http.NewServeMux()
	api.Handle("POST /v1/charges", once.Wrap(http.HandlerFunc(b.charge)))
	return api
}

// A payments API in the manner of Stripe: each charge is made once for its key.
func Example() {
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: 24 * time.Hour}, Digests: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	var b bank
	api := httptest.NewServer(payments(&b, l))
	defer api.Close()

	post := func(secret, key, order string) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, api.URL+"/v1/charges", strings.NewReader(order))
		if err != nil {
			log.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		defer w.Body.Close()
		if w.StatusCode >= 400 {
			var p httpkey.Problem
			if err := json.NewDecoder(w.Body).Decode(&p); err != nil {
				log.Fatal(err)
			}
			fmt.Println(w.StatusCode, p.Code)
			return
		}
		body, err := io.ReadAll(w.Body)
		fmt.Printf("%d %s replayed=%t %v\n", w.StatusCode, body, w.Header.Get("Idempotency-Replayed") == "true", err)
	}
	post("sk_ann", `"order 1"`, `{"amount": 30, "card": "visa"}`)
	post("sk_ann", `"order 1"`, `{"amount": 30, "card": "visa"}`) // the client knew nothing of the first answer
	post("sk_ann", `"order 1"`, `{"amount": 31, "card": "visa"}`)
	post("sk_bob", `"order 1"`, `{"amount": 5, "card": "visa"}`)
	post("sk_eve", `"order 1"`, `{"amount": 30, "card": "visa"}`)
	fmt.Println("charged", b.charged.Load())
	// Output:
	// 201 {"amount":30,"charged":30} replayed=false <nil>
	// 201 {"amount":30,"charged":30} replayed=true <nil>
	// 422 key-reused
	// 201 {"amount":5,"charged":35} replayed=false <nil>
	// 403 tenant-unknown
	// charged 35
}

// A client whose connection is cut behind the charge sends the request again, with the
// key that it was given for all of its tries.
func ExampleTransport() {
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: 24 * time.Hour}, Digests: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	var b bank
	charges, cuts := payments(&b, l), 2
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cuts--; cuts >= 0 {
			charges.ServeHTTP(httptest.NewRecorder(), r) // the charge is made,
			panic(http.ErrAbortHandler)                  // and nobody hears of it
		}
		charges.ServeHTTP(w, r)
	}))
	defer api.Close()

	client := &http.Client{Transport: &httpkey.Transport{
		Pause: time.Millisecond,
		Tried: func(_ context.Context, t httpkey.Try) { fmt.Println("try", t.Number, "again:", t.Again) },
	}}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, api.URL+"/v1/charges", strings.NewReader(`{"amount":30}`))
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_ann")
	w, err := client.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	fmt.Printf("%d %s %v\n", w.StatusCode, body, err)
	fmt.Println("charged", b.charged.Load())
	// Output:
	// try 1 again: true
	// try 2 again: true
	// try 3 again: false
	// 201 {"amount":30,"charged":30} <nil>
	// charged 30
}
