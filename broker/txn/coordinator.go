package txn

import (
	"slices"
	"strings"

	"github.com/hapaxmq/hapax/broker/code"
)

// MaxName is the length in bytes up to which transactional ids and names of
// groups are accepted.
const MaxName = 1024

// Settings are limits. Zero means the default.
type Settings struct {
	IDs          int   // transactional ids kept; default 100,000
	Partitions   int   // partitions in one transaction; default 10,000
	Groups       int   // groups in one transaction; default 1,000
	MaxTimeoutMs int32 // longest transaction.timeout.ms a client may ask for; default 15 minutes
	ExpireMs     int64 // an id unused for so long is forgotten, unless its transaction is open; default 7 days
}

func (s *Settings) setDefaults() {
	if s.IDs <= 0 {
		s.IDs = 100_000
	}
	if s.Partitions <= 0 {
		s.Partitions = 10_000
	}
	if s.Groups <= 0 {
		s.Groups = 1_000
	}
	if s.MaxTimeoutMs <= 0 {
		s.MaxTimeoutMs = 15 * 60 * 1000
	}
	if s.ExpireMs <= 0 {
		s.ExpireMs = 7 * 24 * 60 * 60 * 1000
	}
}

// A Coordinator holds the state of all transactional ids. It is not safe for
// concurrent use.
type Coordinator struct {
	settings Settings
	nextID   int64             // the next producer id
	ids      map[string]*entry // by transactional id
	open     map[string]*entry // those of ids with an open transaction
}

// entry is what is known of one transactional id.
type entry struct {
	producer Producer // who holds the id

	// previous is the same client under its last epoch, if the reply that told it
	// the new one may be lost: it may ask again and gets the same answer. Nobody
	// as soon as the new epoch is seen in use, or another client holds the id.
	previous Producer

	timeoutMs  int32
	state      State
	started    int64 // when the last transaction began, open or not; −1: none since the id is held
	updated    int64 // when anything last changed
	partitions []uint32
	groups     []string // both sorted
}

// New returns a coordinator without state. What a log holds is applied to it.
func New(s Settings) *Coordinator {
	s.setDefaults()
	return &Coordinator{settings: s, nextID: 1, ids: map[string]*entry{}, open: map[string]*entry{}}
}

// A Reply answers a request. Producer is set in those of InitProducerId, and of
// EndTxn from version 5 on; it is nobody if Code is an error.
type Reply struct {
	Code     code.Error
	Producer Producer
}

func refuse(c code.Error) Reply   { return Reply{Code: c, Producer: NoProducer()} }
func welcome(p Producer) Reply    { return Reply{Code: code.None, Producer: p} }
func validName(s string) bool     { return s != "" && len(s) <= MaxName }
func (e *entry) isOpen() bool     { return e.state == Ongoing }
func (e *entry) isComplete() bool { return e.state == CompleteCommit || e.state == CompleteAbort }

// repeats says if a request by p may be one that was answered already, and the
// answer lost.
func (e *entry) repeats(p Producer) bool { return p == e.previous && p != NoProducer() }

// holder finds the id, and says if p is who holds it: InvalidRequest,
// InvalidProducerIDMapping or ProducerFenced if not.
func (c *Coordinator) holder(id string, p Producer) (*entry, code.Error) {
	if !validName(id) {
		return nil, code.InvalidRequest
	}
	e := c.ids[id]
	switch {
	case e == nil || e.producer.ID != p.ID:
		return nil, code.InvalidProducerIDMapping
	case e.producer != p:
		return nil, code.ProducerFenced
	}
	return e, code.None
}

// understood is c for a client at version, whose request knows ProducerFenced
// since the given version. Those before it react alike to InvalidProducerEpoch.
func understood(c code.Error, version, since int16) code.Error {
	if c == code.ProducerFenced && version < since {
		return code.InvalidProducerEpoch
	}
	return c
}

// successor is who holds the id after p: the next epoch, or a new producer id
// when there is none.
func (c *Coordinator) successor(p Producer) Producer {
	if p.Epoch >= lastEpoch {
		return Producer{ID: c.nextID}
	}
	return Producer{p.ID, p.Epoch + 1}
}

// missing returns the sorted rest of asked that is not in have, which is sorted.
func missing[T uint32 | string](have, asked []T) []T {
	var rest []T
	for _, v := range asked {
		if _, found := slices.BinarySearch(have, v); !found {
			rest = append(rest, v)
		}
	}
	slices.Sort(rest)
	return slices.Compact(rest)
}

// sortedIDs returns the keys of m, sorted.
func sortedIDs(m map[string]*entry) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, strings.Compare)
	return ids
}
