package demo

import "encoding/json"

// Payment is what a customer pays: the request to the gateway, and the messages about it.
type Payment struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

// Move is a customer's new address.
type Move struct {
	ID       string `json:"id"`
	Number   int    `json:"number"` // among all moves
	Customer string `json:"customer"`
	Address  string `json:"address"`
}

// idOf is the id of a payment or a move in a message.
func idOf(value []byte) string {
	var m struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(value, &m) != nil {
		return ""
	}
	return m.ID
}

// The topics, behind the prefix of a column.
const (
	topicPayments = "payments" // confirmed by the gateway
	topicCredits  = "credits"  // done by the wallet
	topicMoves    = "moves"
)
