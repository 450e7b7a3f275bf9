package demo

import (
	"context"
	"database/sql"
	"errors"

	"github.com/hapaxmq/hapax/demo/auditor"
)

// The kinds of effects.
const (
	effectCredit     = "credit"
	effectMail       = "mail"
	effectKeyless    = "keyless"
	effectSettlement = "settlement"
)

// effectOf is what an office does for a part.
func effectOf(part string) string {
	switch part {
	case partMail:
		return effectMail
	case partKeyless:
		return effectKeyless
	case partSettlement:
		return effectSettlement
	}
	return "none"
}

// books are the databases of a column, as the auditor reads them.
type books struct {
	wallet, analytics, addresses *sql.DB
}

func (col *column) openBooks(g *ground) error {
	for part, db := range map[string]**sql.DB{partWallet: &col.books.wallet, partAnalytics: &col.books.analytics, partAddresses: &col.books.addresses} {
		driver, dsn, _, err := g.database(col.name, part)
		if err != nil {
			return err
		}
		if *db, err = sql.Open(driver, dsn); err != nil {
			return err
		}
	}
	return nil
}

func (col *column) closeBooks() (err error) {
	for _, db := range []*sql.DB{col.books.wallet, col.books.analytics, col.books.addresses} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return err
}

// credits are the rows of the wallet.
func (b books) credits(ctx context.Context) (all []auditor.Effect, err error) {
	err = each(ctx, b.wallet, "SELECT payment, cents FROM credits", func(scan func(...any) error) error {
		e := auditor.Effect{Kind: effectCredit}
		err := scan(&e.Payment, &e.Cents)
		all = append(all, e)
		return err
	})
	return all, err
}

// totals are those of analytics.
func (b books) totals(ctx context.Context) (all []auditor.Total, err error) {
	err = each(ctx, b.analytics, "SELECT customer, payments, cents FROM totals", func(scan func(...any) error) error {
		var t auditor.Total
		err := scan(&t.Customer, &t.Payments, &t.Cents)
		all = append(all, t)
		return err
	})
	return all, err
}

// homes are the addresses, by customer.
func (b books) homes(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	err := each(ctx, b.addresses, "SELECT customer, address FROM addresses", func(scan func(...any) error) error {
		var customer, address string
		err := scan(&customer, &address)
		all[customer] = address
		return err
	})
	return all, err
}

// each reads all rows of a query.
func each(ctx context.Context, db *sql.DB, query string, row func(scan func(...any) error) error) (err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
