package main

import (
	"errors"
)

// sequences is to compare sequence windows of 1 k and 1 M producers with ids.
func sequences(*bench) error {
	return errors.New("the ledger has no sequence windows yet")
}
