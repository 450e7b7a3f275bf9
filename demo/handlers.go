package demo

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/outbox"
)

// database is where a handler works: a transaction, or a database whose statements commit
// by themselves.
type database interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// work is what a handler has at hand.
type work struct {
	db  database
	put func(ctx context.Context, r outbox.Record) error // to be published
	url string                                           // of whom it asks
	key string                                           // of what it asks for; empty: none
}

// handler does what a message asks for. It knows nothing of copies.
type handler func(ctx context.Context, w work, message []byte) error

// consumer is a service that handles the messages of a topic.
type consumer struct {
	name      string
	topic     string
	tables    []string
	handle    handler
	guarantee inbox.Guarantee // that it needs, by where its effect is
	publishes bool            // and so has an outbox
}

// consumers are those of a column.
func consumers() []consumer {
	return []consumer{
		{partWallet, topicPayments, []string{"CREATE TABLE IF NOT EXISTS credits (payment TEXT, cents BIGINT)"}, credit, inbox.Transacted, true},
		{partMail, topicPayments, nil, ask, inbox.Leased, false},
		{partKeyless, topicPayments, nil, ask, inbox.Leased, false},
		{partAnalytics, topicPayments, []string{"CREATE TABLE IF NOT EXISTS totals (customer TEXT PRIMARY KEY, payments BIGINT, cents BIGINT)"}, count, inbox.Transacted, false},
		{partSettlement, topicCredits, nil, ask, inbox.Leased, false},
		{partAddresses, topicMoves, []string{"CREATE TABLE IF NOT EXISTS addresses (customer TEXT PRIMARY KEY, address TEXT)"}, move, inbox.AtLeast, false},
	}
}

// confirm books a payment, and has it published.
func confirm(ctx context.Context, w work, p Payment) error {
	_, err := w.db.ExecContext(ctx, "INSERT INTO payments (id, customer, cents) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
		p.ID, p.Customer, p.Cents)
	if err != nil {
		return err
	}
	message, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return w.put(ctx, outbox.Record{Topic: topicPayments, OrderKey: p.Customer, Payload: message})
}

// accept has a customer's new address published.
func accept(ctx context.Context, w work, m Move) error {
	message, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return w.put(ctx, outbox.Record{Topic: topicMoves, OrderKey: m.Customer, Payload: message})
}

// credit credits a wallet, and has that published.
func credit(ctx context.Context, w work, message []byte) error {
	var p Payment
	if err := json.Unmarshal(message, &p); err != nil {
		return err
	}
	if _, err := w.db.ExecContext(ctx, "INSERT INTO credits (payment, cents) VALUES ($1, $2)", p.ID, p.Cents); err != nil {
		return err
	}
	return w.put(ctx, outbox.Record{Topic: topicCredits, OrderKey: p.Customer, Payload: message})
}

// count counts a payment.
func count(ctx context.Context, w work, message []byte) error {
	var p Payment
	if err := json.Unmarshal(message, &p); err != nil {
		return err
	}
	_, err := w.db.ExecContext(ctx, `INSERT INTO totals (customer, payments, cents) VALUES ($1, 1, $2)
		ON CONFLICT (customer) DO UPDATE SET payments = totals.payments + 1, cents = totals.cents + excluded.cents`, p.Customer, p.Cents)
	return err
}

// move sets a customer's address. Set twice, it is the same.
func move(ctx context.Context, w work, message []byte) error {
	var m Move
	if err := json.Unmarshal(message, &m); err != nil {
		return err
	}
	_, err := w.db.ExecContext(ctx, `INSERT INTO addresses (customer, address) VALUES ($1, $2)
		ON CONFLICT (customer) DO UPDATE SET address = excluded.address`, m.Customer, m.Address)
	return err
}

// ask asks somebody else to act: the mail server to send, the bank to settle.
func ask(ctx context.Context, w work, message []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(message))
	if err != nil {
		return err
	}
	if w.key != "" {
		request.Header.Set("Idempotency-Key", w.key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // the status is all that counts
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s: %s", w.url, response.Status)
	}
	return nil
}
