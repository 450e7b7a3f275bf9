package examples

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/hapaxmq/hapax/httpkey"
)

// PayAll pays all orders that are not known to be paid, by an API that takes an
// Idempotency-Key. Each order has its key beside it, so that a program which died before it
// wrote the answer down sends the same request when it runs again. client retries
// by itself: &http.Client{Transport: &httpkey.Transport{}}.
//
//	CREATE TABLE orders (id TEXT PRIMARY KEY, amount INTEGER NOT NULL, pay_key TEXT NOT NULL, paid TEXT)
func PayAll(ctx context.Context, db *sql.DB, client *http.Client, api, secret string) error {
	for {
		var id, key string
		var amount int64
		err := db.QueryRowContext(ctx, "SELECT id, amount, pay_key FROM orders WHERE paid IS NULL ORDER BY id LIMIT 1").Scan(&id, &amount, &key)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		receipt, err := pay(ctx, client, api, secret, key, amount)
		if err != nil {
			return fmt.Errorf("pay order %s: %w", id, err)
		}
		if _, err := db.ExecContext(ctx, "UPDATE orders SET paid = ? WHERE id = ?", receipt, id); err != nil {
			return err
		}
	}
}

// NewOrder stores an order, with the key that it will be paid by.
func NewOrder(ctx context.Context, db *sql.DB, id string, amount int64) error {
	_, err := db.ExecContext(ctx, "INSERT INTO orders (id, amount, pay_key) VALUES (?, ?, ?)", id, amount, httpkey.NewKey())
	return err
}

func pay(ctx context.Context, client *http.Client, api, secret, key string, amount int64) (receipt string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, api+"/v1/charges", bytes.NewReader(fmt.Appendf(nil, `{"amount":%d}`, amount)))
	if err != nil {
		return "", err
	}
	if err := httpkey.SetKey(r.Header, key); err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("Content-Type", "application/json")
	w, err := client.Do(r)
	if err != nil {
		return "", err // nobody knows whether it is paid: again, with the same key
	}
	defer func() { _ = w.Body.Close() }() // it was read, or the error is told
	answer, err := io.ReadAll(io.LimitReader(w.Body, 64<<10))
	if err == nil && w.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %s", w.Status, answer)
	}
	return string(answer), err
}
