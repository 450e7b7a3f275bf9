package watermill

import (
	"bytes"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/hapaxmq/hapax"
)

func receipt() hapax.Receipt {
	m := message.NewMessage("u1", message.Payload("a\xff"))
	m.Metadata = message.Metadata{"b": "2", "a": "\xfe", "": ""}
	return encode([]*message.Message{m, message.NewMessage("", nil)})
}

func TestReceipt(t *testing.T) {
	const want = "\x01\x02u1\x02a\xff\x03\x00\x00\x01a\x01\xfe\x01b\x012\x00\x00\x00"
	if got := receipt(); string(got) != want {
		t.Errorf("receipt is %q, want %q", got, want)
	}
	messages, err := decode(receipt())
	if err != nil || len(messages) != 2 || messages[0].Metadata["a"] != "\xfe" {
		t.Fatalf("receipt is read as %v, %v", messages, err)
	}
	for _, bad := range []string{"\x02", want[:len(want)-1], want[:5], "\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f"} {
		if _, err := decode(hapax.Receipt(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func FuzzReceipt(f *testing.F) {
	f.Add([]byte(receipt()))
	f.Add([]byte("\x01\x00\x00\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(encode(messages))
		if err != nil || len(again) != len(messages) || !bytes.Equal(encode(again), encode(messages)) {
			t.Errorf("%q is read as %v, and written again as %v: %v", b, messages, again, err)
		}
	})
}
