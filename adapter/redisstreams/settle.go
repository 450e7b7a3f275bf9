package redisstreams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax/inbox"
)

// The fields that say of a dead letter where it stood, and why it is there. The last
// one is the first 1,024 bytes of an error.
const (
	FieldStream = "hapax-stream"
	FieldID     = "hapax-id"
	FieldError  = "hapax-error"
)

const (
	longestReason = 1_024
	mostFields    = 3_000 // of a dead letter: a script's call has a limit
)

// The scripts look first whether an entry is pending as they expect it to be: another
// consumer may have taken it, or acknowledged it. Each touches one stream, and one of
// them that of the dead letters.

// luaGone tells of an entry that it was deleted, and not settled: the server takes such
// ones off what is pending as soon as any consumer looks for what is idle.
const luaGone = `
local function gone(id)
	return #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1) == 0 and #redis.call('XRANGE', KEYS[1], id, id) == 0
end
`

// renew is told a group, a consumer and ids, and starts the time anew at which others
// may take these entries. It returns the ids of those that are others', and of those
// that were deleted.
const renew = luaGone + `
local lost, deleted = {}, {}
for i = 3, #ARGV do
	local id = ARGV[i]
	if #redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2]) == 0
		or #redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID') == 0 then
		local list = gone(id) and deleted or lost
		list[#list + 1] = id
	end
end
return {lost, deleted}`

// giveBack is told a group, an id, a consumer, for how long the entry is to be taken
// for idle, and whether its delivery counts. It returns false if the entry was deleted.
const giveBack = luaGone + `
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1, ARGV[3])
if #pending > 0 then
	local count = pending[1][4]
	if ARGV[5] == '0' then count = count - 1 end
	redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[2], 'IDLE', ARGV[4], 'RETRYCOUNT', count, 'JUSTID')
end
return gone(ARGV[2]) and 0 or 1`

// bury is told a group, an id, and the fields of a dead letter, which it adds unless
// somebody has acknowledged the entry.
const bury = luaGone + `
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 and not gone(ARGV[2]) then return 0 end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return 1`

// leave is told a group and a consumer.
const leave = `
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])`

type scripts struct{ renew, giveBack, bury, leave *redis.Script }

func newScripts() scripts {
	return scripts{redis.NewScript(renew), redis.NewScript(giveBack), redis.NewScript(bury), redis.NewScript(leave)}
}

// Settle settles an entry in a consumer loop of the caller's, who has read it as
// o.Consumer of o.Group: it acknowledges it, puts it to o.DeadLetters for the reason why
// and acknowledges it, or leaves it pending, so that it has been idle for o.MinIdle
// after s.After, which is o.MinIdle at most: then XAUTOCLAIM gives it to whoever asks. An
// entry that was deleted from the stream can't come again, and is put to o.DeadLetters
// too. A delivery that did not fail is taken off the count of the entry's deliveries; how
// many are too many is for the loop to say. If the action is [inbox.Stop] take no
// other entry before s.After. An error means that the entry may come again.
func Settle(ctx context.Context, client redis.UniversalClient, o Options, x redis.XMessage, s inbox.Settlement, why error) error {
	if o.Consumer == "" {
		return errors.New("redisstreams: settle: want the consumer that the entry was read as")
	}
	o, err := o.withDefaults()
	if err != nil {
		return fmt.Errorf("redisstreams: %w", err)
	}
	g := &group{client: client, o: o, scripts: newScripts()}
	if err := g.settle(ctx, x, s, why); err != nil {
		return fmt.Errorf("redisstreams: %w", err)
	}
	return nil
}

// group is what entries of one stream are settled by.
type group struct {
	client  redis.UniversalClient
	o       Options
	scripts scripts
}

func (g *group) settle(ctx context.Context, x redis.XMessage, s inbox.Settlement, why error) error {
	var err error
	switch s.Action {
	case inbox.Ack:
		err = g.client.XAck(ctx, g.o.Stream, g.o.Group, x.ID).Err()
	case inbox.DeadLetter:
		err = g.bury(ctx, x, why)
	default:
		err = g.giveBack(ctx, x, s, why)
	}
	if err != nil {
		return fmt.Errorf("%v %s: %w", s.Action, x.ID, err)
	}
	return nil
}

func (g *group) giveBack(ctx context.Context, x redis.XMessage, s inbox.Settlement, why error) error {
	idle, counts := g.o.MinIdle-min(s.After, g.o.MinIdle), 0
	if s.Failed {
		counts = 1
	}
	there, err := g.scripts.giveBack.Run(ctx, g.client, []string{g.o.Stream}, g.o.Group, x.ID, g.o.Consumer, millis(idle), counts).Bool()
	if err != nil || there {
		return err
	}
	return g.bury(ctx, x, errors.Join(errDeleted, why))
}

// errDeleted is why an entry that should come again is a dead letter.
var errDeleted = errors.New("deleted from its stream before it was handled")

func (g *group) bury(ctx context.Context, x redis.XMessage, why error) error {
	args := append([]any{g.o.Group, x.ID}, g.deadLetter(x, why)...)
	return g.scripts.bury.Run(ctx, g.client, []string{g.o.Stream, g.o.DeadLetters}, args...).Err()
}

// deadLetter are the fields of an entry as it is put to the dead letters.
func (g *group) deadLetter(x redis.XMessage, why error) []any {
	var fields []any
	if len(x.Values) <= mostFields {
		for _, name := range slices.Sorted(maps.Keys(x.Values)) {
			fields = append(fields, name, x.Values[name])
		}
	}
	text := "no reason is given"
	if why != nil {
		text = why.Error()
	}
	text = strings.ToValidUTF8(text[:min(len(text), longestReason)], "")
	return append(fields, FieldStream, g.o.Stream, FieldID, x.ID, FieldError, text)
}

// millis rounds up, so that nothing is idle for too short a time.
func millis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }
