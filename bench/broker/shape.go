package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/bench/stream"
)

// shape is how records look and carry their ids. What differs between records is
// made before they are sent, as a part of a slab.
type shape struct {
	name     string // in the table
	identity string // hapax.identity
	part     int    // bytes of a part
	fill     func(part []byte, id *stream.ID, number int64)
	record   func(part []byte) *kgo.Record
}

const (
	idBytes    = len(stream.ID{})
	valueBytes = 100
	orderBytes = 1000
)

// byHeader has the id in a header and a value of 100 bytes, which begins with the
// id's number.
func byHeader() shape {
	return shape{
		name: "header:id, 100 B", identity: "header:id", part: idBytes + valueBytes, fill: apart(),
		record: func(part []byte) *kgo.Record {
			return &kgo.Record{Value: part[idBytes:], Headers: []kgo.RecordHeader{{Key: "id", Value: part[:idBytes]}}}
		},
	}
}

// byKey has it as the key.
func byKey() shape {
	return shape{
		name: "key, 100 B", identity: "key", part: idBytes + valueBytes, fill: apart(),
		record: func(part []byte) *kgo.Record { return &kgo.Record{Key: part[:idBytes], Value: part[idBytes:]} },
	}
}

// byValue has 100 bytes that begin with the id and are one themselves.
func byValue() shape {
	words := text()
	return shape{
		name: "value, 100 B", identity: "value", part: valueBytes,
		fill: func(part []byte, id *stream.ID, number int64) {
			copy(part[copy(part, id[:]):], words(number))
		},
		record: func(part []byte) *kgo.Record { return &kgo.Record{Value: part} },
	}
}

// byJSON is an order of 1,000 bytes with the id in a field.
func byJSON() shape {
	return shape{
		name: "json:id, 1 KB of JSON", identity: "json:id", part: orderBytes,
		fill:   func(part []byte, id *stream.ID, number int64) { appendOrder(part[:0], id[:], number) },
		record: func(part []byte) *kgo.Record { return &kgo.Record{Value: part} },
	}
}

// apart makes parts of an id and a value behind it.
func apart() func(part []byte, id *stream.ID, number int64) {
	words := text()
	return func(part []byte, id *stream.ID, number int64) {
		value := part[copy(part, id[:]):]
		binary.LittleEndian.PutUint64(value, uint64(number))
		copy(value[8:], words(number))
	}
}

// numberOf is the number of the id of a record with a header or a key.
func numberOf(value []byte) int64 { return int64(binary.LittleEndian.Uint64(value)) }

// text returns, by number, 100 bytes of the text of four thousand orders.
func text() func(number int64) []byte {
	const orders = 4000
	all := make([]byte, 0, orders*orderBytes)
	for i := range int64(orders) {
		all = append(all, appendOrder(make([]byte, 0, orderBytes), nil, i)...)
	}
	return func(number int64) []byte {
		high, _ := bits.Mul64(uint64(number)*0x9e3779b97f4a7c15, uint64(len(all)-valueBytes)) // Fibonacci hashing
		return all[high:][:valueBytes]
	}
}

// appendOrder appends an order as a shop's webhook has it: an id, an envelope, a
// customer, four items, an address, and a note that fills it up to 1,000 bytes. All
// but its form is computed from the number.
func appendOrder(b, id []byte, number int64) []byte {
	roll := uint64(number)
	next := func(below uint64) uint64 {
		roll = roll*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
		return (roll >> 33) % below
	}
	from := func(words ...string) string { return words[next(uint64(len(words)))] }
	field := func(name string, value uint64) {
		b = append(b, name...)
		b = strconv.AppendUint(b, value, 10)
	}
	word := func(name, value string) {
		b = append(append(append(b, name...), value...), '"')
	}
	word(`{"id":"`, string(id))
	word(`,"type":"order.`, from("created", "paid", "updated", "shipped"))
	field(`,"api_version":"2026-03-31","livemode":true,"created":`, 1_790_000_000+uint64(number)/100)
	field(`,"data":{"object":{"object":"order","number":`, 100_000_000+uint64(number))
	word(`,"status":"`, from("open", "complete", "pending", "partially_refunded"))
	word(`,"currency":"`, from("eur", "usd", "gbp"))
	field(`,"amount_total":`, 100+next(90_000))
	field(`,"amount_tax":`, next(9000))
	field(`,"customer":{"id":"cus_`, 1_000_000_000+next(1<<30))
	word(`","name":"`, from("Ada", "Grace", "Edsger", "Barbara", "Leslie")+" "+from("Meyer", "Rossi", "Novak", "Jensen", "Dubois"))
	field(`,"email":"customer`, next(10_000_000))
	b = append(b, `@example.com"},"line_items":[`...)
	for i := range 4 {
		if i > 0 {
			b = append(b, ',')
		}
		field(`{"sku":"SKU-`, 10_000+next(90_000))
		word(`","description":"`, from("Coffee beans, dark roast", "Paper filters", "Ceramic mug", "Hand grinder"))
		field(`,"quantity":`, 1+next(5))
		field(`,"unit_amount":`, 99+next(20_000))
		b = append(b, '}')
	}
	field(`],"shipping":{"line1":"Long Street `, 1+next(200))
	field(`","postal_code":"`, 10_000+next(90_000))
	word(`","city":"`, from("Hamburg", "Torino", "Brno", "Aarhus", "Lyon"))
	word(`,"country":"`, from("DE", "IT", "CZ", "DK", "FR"))
	word(`},"metadata":{"source":"`, from("web", "app", "store"))
	b = append(b, `,"note":"`...)
	const end = `"}}}}`
	for room := orderBytes - len(end); len(b) < room; {
		w := from("please ", "leave ", "it ", "at ", "the ", "door ", "behind ", "house ", "and ", "ring ", "twice ", "thanks ")
		b = append(b, w[:min(len(w), room-len(b))]...)
	}
	return append(b, end...)
}

// slab makes the parts of count messages of a stream.
func (s *shape) slab(ids stream.Stream, first int64, count int) []byte {
	parts := make([]byte, count*s.part)
	var id stream.ID
	for i := range count {
		number, _ := ids.Number(first + int64(i))
		ids.ID(&id, number)
		s.fill(parts[i*s.part:][:s.part:s.part], &id, number)
	}
	return parts
}

// one is a single record.
func (s *shape) one(ids stream.Stream, number int64) *kgo.Record {
	part := make([]byte, s.part)
	var id stream.ID
	ids.ID(&id, number)
	s.fill(part, &id, number)
	return s.record(part)
}

// slabs makes those of count messages as they are asked for, and nil at the end.
func (s *shape) slabs(ids stream.Stream, first int64, count int) func() []byte {
	const most = 10_000
	return func() []byte {
		n := min(count, most)
		parts := s.slab(ids, first, n)
		first, count = first+int64(n), count-n
		return parts
	}
}

// once is a slab and nothing behind it.
func once(slab []byte) func() []byte {
	return func() (parts []byte) {
		parts, slab = slab, nil
		return parts
	}
}

// send produces what the slabs hold, or as much as it can until the deadline, and
// returns how many records that is and the time until the last was acknowledged. It
// gives up when a record is refused for a minute.
func (n *node) send(
	ctx context.Context, topic string, s shape, slabs func() []byte, most time.Duration, options ...kgo.Opt,
) (sent int64, d time.Duration, err error) {
	c, err := n.client(append([]kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.RecordDeliveryTimeout(time.Minute)}, options...)...)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			stop(err)
		}
	}
	began := time.Now()
	for parts := slabs(); len(parts) > 0 && time.Since(began) < most && ctx.Err() == nil; parts = slabs() {
		for ; len(parts) > 0; parts = parts[s.part:] {
			c.Produce(ctx, s.record(parts[:s.part:s.part]), done)
			sent++
		}
	}
	err = c.Flush(ctx)
	d = time.Since(began)
	if cause := context.Cause(ctx); cause != nil {
		return 0, 0, fmt.Errorf("produce: %w", cause)
	}
	return sent, d, err
}
