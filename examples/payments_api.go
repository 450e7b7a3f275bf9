package examples

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/httpkey"
)

// PaymentsAPI is an API for payments in the manner of Stripe: POST /v1/charges takes an
// Idempotency-Key, and answers a copy as it answered the first request, where that was not
// an error of its own. Any number of servers may stand for each other: keys and charges are
// in PostgreSQL, in the tables that keys.Migrate makes and
//
//	CREATE TABLE charges (id text PRIMARY KEY, account text NOT NULL, amount bigint NOT NULL)
//
// A server that dies between the charge and the answer leaves the key taken for a lease; the
// run after it finds the charge, for its id is derived from the key.
func PaymentsAPI(db *pgxpool.Pool, keys *pgxdb.Ledger, accounts map[string]string) (http.Handler, error) {
	once, err := httpkey.New(keys, httpkey.Options{
		Name:     "charges",
		Window:   24 * time.Hour, // that of keys
		Required: true,
		Tenant: func(r *http.Request) (string, error) {
			secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if account, ok := accounts[secret]; ok {
				return account, nil
			}
			return "", errors.New("unknown secret key")
		},
	})
	if err != nil {
		return nil, err
	}
	charge := func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			Amount int64 `json:"amount"`
		}
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil || order.Amount <= 0 {
			http.Error(w, "want an amount above zero", http.StatusBadRequest)
			return
		}
		run, _ := httpkey.FromContext(r.Context())
		id := "ch_" + httpkey.ChildID(r.Context(), "charge")
		if _, err := db.Exec(r.Context(), "INSERT INTO charges VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
			id, run.Tenant, order.Amount); err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable) // which frees the key
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"id":%q,"amount":%d}`, id, order.Amount)
	}
	api := http.NewServeMux()
	api.Handle("POST /v1/charges", once.Wrap(http.HandlerFunc(charge)))
	return api, nil
}
