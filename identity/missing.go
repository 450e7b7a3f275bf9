package identity

import "fmt"

// MissingPolicy is what a caller does with a message that has no identity
// ([hapax.ErrMissing]). None of them is silent: whoever passes, counts.
type MissingPolicy uint8

const (
	// ErrorOnMissing stops with the error. It is the zero value.
	ErrorOnMissing MissingPolicy = iota
	// ContentOnMissing names the message by its content, as spec "content" does.
	ContentOnMissing
	// PassOnMissing lets the message through unasked and counts it.
	PassOnMissing
)

var missingPolicies = [...]string{ErrorOnMissing: "error", ContentOnMissing: "content", PassOnMissing: "pass"}

func (p MissingPolicy) String() string {
	if int(p) < len(missingPolicies) {
		return missingPolicies[p]
	}
	return fmt.Sprintf("MissingPolicy(%d)", uint8(p))
}

// ParseMissingPolicy reads what String writes.
func ParseMissingPolicy(s string) (MissingPolicy, error) {
	for p, name := range missingPolicies {
		if s == name {
			return MissingPolicy(p), nil
		}
	}
	return 0, fmt.Errorf("policy for a missing id %q: want error, content or pass", s)
}
