package identity_test

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// From a message to the fingerprint that a ledger remembers.
func Example() {
	x, err := identity.Parse("header:tenant+json:order.id")
	if err != nil {
		fmt.Println(err)
		return
	}
	orders := identity.NewHasher([16]byte{ /* the ledger's secret */ }).Scoped("orders")

	var id []byte // used again for every message
	for _, body := range []string{
		`{"order":{"id":4711},"sent":"12:00:01"}`,
		`{"sent":"12:00:07","order":{"id":4711.0}}`, // a retry
		`{"order":{"id":"4711"},"sent":"12:00:09"}`, // a string is another id
	} {
		m := hapax.Message{Value: []byte(body), Headers: []hapax.Header{{Name: "tenant", Value: []byte("acme")}}}
		if id, err = x.Append(id[:0], &m); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(orders.Fingerprint(id))
	}
	// Output:
	// 0d2fc10a6119e616ef10a2c51a414505
	// 0d2fc10a6119e616ef10a2c51a414505
	// b7dba8f237c1f4beed563ab03ea1b136
}

// A field whose name holds a dot, and one in an array.
func ExampleParse_paths() {
	x, _ := identity.Parse(`json:meta\.id,lines.0.sku`)
	id, err := x.Append(nil, &hapax.Message{Value: []byte(`{"meta.id":7,"lines":[{"sku":"A-1"}]}`)})
	fmt.Printf("%q %v\n", id, err)
	// Output:
	// "\x04[7,\"A-1\"]" <nil>
}

// An unknown kind is answered with those that are known.
func ExampleParse_error() {
	_, err := identity.Parse("json:id|contents")
	fmt.Println(err)
	// Output:
	// identity "json:id|contents": "contents": no such kind: want line, key, header:NAME, json:PATH[,PATH…], cloudevents, content (or value), content:-PATH[,PATH…], content:+PATH[,PATH…] or sequence:PRODUCER_PATH,NUMBER_PATH[,EPOCH_PATH], joined by + or, as a fallback, |
}

// A message without an id is an error that says what is missing.
func ExampleExtractor_Append_missing() {
	x, _ := identity.Parse("json:id")
	_, err := x.Append(nil, &hapax.Message{Value: []byte(`{"user":"ada"}`)})
	fmt.Println(errors.Is(err, hapax.ErrMissing))
	fmt.Println(err)

	// With a fallback it is named by its content.
	x, _ = identity.Parse("json:id|content")
	id, _ := x.Append(nil, &hapax.Message{Value: []byte(`{"user":"ada"}`)})
	fmt.Printf("%q\n", id)
	// Output:
	// true
	// hapax: message has no identity: its JSON has nothing at "id"
	// "\x11\x06{\"user\":\"ada\"}"
}

// The same user and text is the same post, whenever it was sent.
func ExampleParse_content() {
	x, _ := identity.Parse("content:-sent_at,trace.id")
	for _, post := range []string{
		`{"user":"ada","text":"hello","sent_at":1,"trace":{"id":"x","hops":2}}`,
		`{"trace":{"hops":2.0,"id":"y"},"text":"hello","user":"ada","sent_at":2}`,
	} {
		id, _ := x.Append(nil, &hapax.Message{Value: []byte(post)})
		fmt.Printf("%q\n", id)
	}
	// Output:
	// "\x06{\"text\":\"hello\",\"trace\":{\"hops\":2},\"user\":\"ada\"}"
	// "\x06{\"text\":\"hello\",\"trace\":{\"hops\":2},\"user\":\"ada\"}"
}

func ExampleExtractor_Sequence() {
	x, _ := identity.Parse("sequence:sensor,n,boot")
	q, _, err := x.Sequence(nil, &hapax.Message{Value: []byte(`{"sensor":"north","boot":2,"n":1041}`)})
	fmt.Printf("%q %d %d %v\n", q.Producer, q.Epoch, q.Number, err)
	// Output:
	// "\x03\"north\"" 2 1041 <nil>
}

func ExampleAppendCanonical() {
	text, err := identity.AppendCanonical(nil, []byte(`{"b": [1.0, 9007199254740993], "a": "\u00e9"}`))
	fmt.Println(string(text), err)
	// Output:
	// {"a":"é","b":[1,9007199254740993]} <nil>
}

// What a handler sends has an id of its own, and the same one when it runs again.
func ExampleChildID() {
	order := hapax.Identity("\x03\"order-1\"")
	fmt.Println(identity.ChildID(order, "invoice"))
	fmt.Println(identity.ChildID(order, "mail"))
	// Output:
	// 67Lc1qQmNOSr--sTAZbcw8cX7Z48S-ai2J3tisYlgK4
	// xev-hUadZH4Gskw7Ct75aBwpXMy5_RN5dTsHgLOU99U
}
