package hookstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Payload is the body of one webhook.
type Payload struct {
	Event string // "push", "issue_comment": what GitHub sends as X-GitHub-Event
	Body  []byte // one JSON object without white space between its tokens
}

// Load reads payloads in the form of the npm package
// @octokit/webhooks-examples: an array of objects, each with the name of an
// event and examples of its body.
func Load(r io.Reader) ([]Payload, error) {
	var events []struct {
		Name     string            `json:"name"`
		Examples []json.RawMessage `json:"examples"`
	}
	if err := json.NewDecoder(r).Decode(&events); err != nil {
		return nil, fmt.Errorf("read webhook payloads: %w", err)
	}
	var payloads []Payload
	for _, event := range events {
		for i, example := range event.Examples {
			var body bytes.Buffer
			if err := json.Compact(&body, example); err != nil {
				return nil, fmt.Errorf("read webhook payloads: %s, example %d: %w", event.Name, i+1, err)
			}
			if !bytes.HasPrefix(body.Bytes(), []byte("{")) {
				return nil, fmt.Errorf("read webhook payloads: %s, example %d: want an object", event.Name, i+1)
			}
			payloads = append(payloads, Payload{Event: event.Name, Body: body.Bytes()})
		}
	}
	if len(payloads) == 0 {
		return nil, errors.New("read webhook payloads: there are none")
	}
	return payloads, nil
}
