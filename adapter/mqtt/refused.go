package mqtt

import (
	"errors"
	"fmt"
)

// ErrTakenOver ends [Consumer.Run] when another client connects with the same id, and
// the broker says so: the session is its by now, with all that was not acknowledged. Two
// that took it over from each other would do so for ever, as they do, more and more
// slowly, where the broker only closes the connection (Mosquitto 2.0.11 does).
var ErrTakenOver = errors.New("mqtt: another client with this id has taken over the session")

// RefusedError is what a broker refuses so that it is no use to ask again.
type RefusedError struct {
	What   string // such as "connect", "subscribe to orders/#"
	Code   byte   // the reason code, see section 2.4 of MQTT 5
	Reason string // in the broker's words, if it has any
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("%s: refused by reason code 0x%02X", e.What, e.Code)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Reason codes of MQTT 5, section 2.4.
const (
	noSubscribers  = 0x10
	unspecified    = 0x80 // from here on they refuse
	unknownVersion = 0x84
	badClientID    = 0x85
	badPassword    = 0x86
	notAuthorized  = 0x87
	banned         = 0x8A
	badMethod      = 0x8C
	takenOver      = 0x8E
	packetTooLarge = 0x95
	anotherServer  = 0x9C
	serverMoved    = 0x9D
)

// final tells whether there is no use in connecting again, after a broker has refused
// or ended a connection by this code.
func final(code byte) bool {
	switch code {
	case unknownVersion, badClientID, badPassword, notAuthorized, banned, badMethod, takenOver, packetTooLarge, anotherServer, serverMoved:
		return true
	}
	return false
}

// ends tells whether an error ends a run.
func ends(err error) bool {
	return errors.Is(err, ErrTakenOver) || errors.As(err, new(*RefusedError))
}
