package broker

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
)

// topicRules are the settings of a topic that matter while it is used.
type topicRules struct {
	maxBatch       int   // max.message.bytes
	retentionMs    int64 // retention.ms; -1 is for good
	retentionBytes int64 // retention.bytes; below 0 is all
	expire         bool  // cleanup.policy has delete: records go by age and size
	compact        bool  // cleanup.policy has compact: the last one of each key stays
	compaction     compactionRules
	appendTime     bool  // message.timestamp.type: the time of records is the node's
	before, after  int64 // message.timestamp.before.max.ms and after.max.ms, unless it is
	recode         bool  // compression.type: batches are compressed by codec
	codec          batch.Codec
	window         *unique.Rules // hapax.*: how each message is kept once; nil: they are not
}

// rules are those of a topic that has some settings of its own.
func (s *settings) rules(own map[string]string) topicRules {
	compression := s.topicValue(own, "compression.type")
	window, _ := windowOf(s, "", own) // it was checked
	return topicRules{
		maxBatch:       int(s.topicNumber(own, "max.message.bytes")),
		retentionMs:    s.topicNumber(own, "retention.ms"),
		retentionBytes: s.topicNumber(own, "retention.bytes"),
		expire:         slices.Contains(words(s.topicValue(own, "cleanup.policy")), "delete"),
		compact:        s.compacts(own),
		compaction:     s.compaction(own),
		appendTime:     s.topicValue(own, "message.timestamp.type") == logAppendTime,
		before:         s.topicNumber(own, "message.timestamp.before.max.ms"),
		after:          s.topicNumber(own, "message.timestamp.after.max.ms"),
		recode:         compression != asProduced,
		codec:          codecNamed(compression),
		window:         window,
	}
}

// compactionRules are the settings of a topic that its compaction heeds.
type compactionRules struct {
	lags      partition.Lags
	mostLag   int64   // max.compaction.lag.ms
	ratio     float64 // min.cleanable.dirty.ratio
	retention int64   // delete.retention.ms
}

func (s *settings) compaction(own map[string]string) compactionRules {
	mostLag := s.topicNumber(own, "max.compaction.lag.ms")
	ratio, _ := strconv.ParseFloat(s.topicValue(own, "min.cleanable.dirty.ratio"), 64) // it was checked
	return compactionRules{
		lags: partition.Lags{
			Least:        s.topicNumber(own, "min.compaction.lag.ms"),
			SegmentBytes: s.topicNumber(own, "segment.bytes"),
			SegmentMs:    min(s.topicNumber(own, "segment.ms"), mostLag),
		},
		mostLag: mostLag, ratio: ratio, retention: s.topicNumber(own, "delete.retention.ms"),
	}
}

// codecNamed is the codec that a compression.type names; batch.Plain if none does.
func codecNamed(name string) batch.Codec {
	for c := batch.Gzip; c <= batch.Zstd; c++ {
		if c.String() == name {
			return c
		}
	}
	return batch.Plain
}

// topicValue is the value of a topic's setting: its own, the node's, or the
// default.
func (s *settings) topicValue(own map[string]string, name string) string {
	return s.valueOf(own, s.topics[name])
}

// valueOf is the value of a setting that something may have of its own.
func (s *settings) valueOf(own map[string]string, t *setting) string {
	if v, ok := own[t.name]; ok {
		return v
	}
	return s.standsFor(t)
}

func (s *settings) topicNumber(own map[string]string, name string) int64 {
	n, _ := strconv.ParseInt(s.topicValue(own, name), 10, 64) // it was checked
	return n
}

// standsFor is the value of a setting where a topic or group has none of its own.
func (s *settings) standsFor(t *setting) string {
	for _, name := range t.node {
		if v := s.value(name); v != "" {
			if given := s.given[name]; given != "" || name == t.node[len(t.node)-1] {
				return inUnitOf(t, name, v)
			}
		}
	}
	return t.value
}

// inUnitOf makes milliseconds of minutes and hours.
func inUnitOf(t *setting, name, value string) string {
	unit := int64(1)
	switch {
	case !strings.HasSuffix(t.name, ".ms"):
		return value
	case strings.HasSuffix(name, ".minutes"):
		unit = 60_000
	case strings.HasSuffix(name, ".hours"):
		unit = 3_600_000
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return value
	}
	return strconv.FormatInt(n*unit, 10)
}

// topicSettings are those that a topic may have.
func topicSettings() []setting {
	const forever = math.MaxInt64
	return append(windowSettings(), []setting{
		{name: "max.message.bytes", kind: integer, value: "1048588", low: 0, high: most32, node: []string{"message.max.bytes"}, doc: "Bytes of a batch of records, compressed as it may be."},
		{name: "retention.ms", kind: long, value: "604800000", low: -1, high: forever, node: []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"}, doc: "How long records are kept. -1 is for good."},
		{name: "retention.bytes", kind: long, value: "-1", node: []string{"log.retention.bytes"}, doc: "How many bytes of records a partition keeps. -1 is all, and so is all below."},
		{name: "cleanup.policy", kind: list, value: "delete", choices: []string{"delete", "compact"}, node: []string{"log.cleanup.policy"}, doc: "What becomes of old records: they go, or the last one of each key stays, or both."},
		{name: "compression.type", kind: text32, value: asProduced, choices: codecs(), node: []string{"compression.type"}, doc: "How batches are compressed that are kept: as their producer did it, or all alike."},
		{name: "message.timestamp.type", kind: text32, value: createTime, choices: []string{createTime, logAppendTime}, node: []string{"log.message.timestamp.type"}, doc: "Whose time a record has: its producer's or the node's."},
		{name: "message.timestamp.before.max.ms", kind: long, value: "9223372036854775807", low: 0, high: forever, node: []string{"log.message.timestamp.before.max.ms"}, doc: "How far a record's time may lie back, unless it is the node's."},
		{name: "message.timestamp.after.max.ms", kind: long, value: "3600000", low: 0, high: forever, node: []string{"log.message.timestamp.after.max.ms"}, doc: "How far a record's time may lie ahead, unless it is the node's."},
		{name: "delete.retention.ms", kind: long, value: "86400000", low: 0, high: forever, node: []string{"log.cleaner.delete.retention.ms"}, doc: "How long compaction keeps that a key was deleted."},
		{name: "min.compaction.lag.ms", kind: long, value: "0", low: 0, high: forever, node: []string{"log.cleaner.min.compaction.lag.ms"}, doc: "How long compaction leaves a record alone."},
		{name: "max.compaction.lag.ms", kind: long, value: "9223372036854775807", low: 1, high: forever, node: []string{"log.cleaner.max.compaction.lag.ms"}, doc: "How long it does at most."},
		{name: "min.cleanable.dirty.ratio", kind: double, value: "0.5", high: 1, node: []string{"log.cleaner.min.cleanable.ratio"}, doc: "The share of the bytes that were not compacted at which a partition is."},
		{name: "min.insync.replicas", kind: integer, value: "1", effect: nothing, low: 1, high: most32, node: []string{"min.insync.replicas"}, doc: "There is one copy, and it is durable before it is acknowledged."},
		{name: "segment.bytes", kind: integer, value: "1073741824", low: 14, high: most32, node: []string{"log.segment.bytes"}, doc: "How many of a partition's newest bytes compaction leaves alone. All partitions share the files of one log, whose size is its own; retention lets single batches go."},
		{name: "segment.ms", kind: long, value: "604800000", low: 1, high: forever, node: []string{"log.roll.ms", "log.roll.hours"}, doc: "From which age on it does not."},
		{name: "segment.index.bytes", kind: integer, value: "10485760", effect: nothing, low: 4, high: most32, doc: "All partitions share the files of one log."},
		{name: "segment.jitter.ms", kind: long, value: "0", effect: nothing, low: 0, high: forever, doc: "All partitions share the files of one log."},
		{name: "index.interval.bytes", kind: integer, value: "4096", effect: nothing, low: 0, high: most32, doc: "The index has every batch."},
		{name: "file.delete.delay.ms", kind: long, value: "60000", effect: nothing, low: 0, high: forever, doc: "Files go when nobody reads them."},
		{name: "flush.messages", kind: long, value: "9223372036854775807", effect: nothing, low: 1, high: forever, node: []string{"log.flush.interval.messages"}, doc: "Every batch is flushed before it is acknowledged."},
		{name: "flush.ms", kind: long, value: "9223372036854775807", effect: nothing, low: 0, high: forever, node: []string{"log.flush.interval.ms"}, doc: "Every batch is flushed before it is acknowledged."},
		{name: "preallocate", kind: boolean, value: "false", effect: nothing, doc: "The files of the log are."},
		{name: "unclean.leader.election.enable", kind: boolean, value: "false", effect: nothing, doc: "There is one leader."},
	}...)
}

// windowSettings are those of a topic that keeps each message once. What goes with
// what, and the words that they may have, is for [unique.Parse] to say.
func windowSettings() []setting {
	const most = math.MaxInt64
	return []setting{
		{name: unique.SettingIdentity, kind: text32, doc: "What of a record is its id, so that the topic keeps one record of each: header:NAME, key, value, content:-PATH[,PATH] (but for some fields), content:+PATH[,PATH] (by some alone), json:PATH[,PATH], cloudevents, several joined by + or, as fallbacks, by |. Without it records are kept as they come."},
		{name: unique.SettingWindowMs, kind: long, low: 1, high: unique.MaxWindowMs, doc: "How long an id is remembered, in milliseconds. As it is changed, added or removed, no id is forgotten that the window covers before and after; but a tumbling one begins anew: it reads the topic's records, while copies pass, and forgets ids whose records are deleted."},
		{name: unique.SettingWindowCount, kind: long, low: 1, high: most, doc: "How many other ids it takes to forget one: exactly, up to 1048576, in a window that has always had such a count, else up to 1/64 more. As it is changed, added or removed: see hapax.window.ms."},
		{name: unique.SettingWindowBytes, kind: long, low: 1, high: most, doc: "How many bytes of other records it takes to forget one, or up to 1/64 more. As it is changed, added or removed: see hapax.window.ms."},
		{name: unique.SettingWindowKind, kind: text32, value: "first", doc: "Since when an id is remembered: first (its first record), renewed (its last copy), or tumbling (until an aligned window ends). With another kind the window begins anew, and a tumbling one with other bounds too: see hapax.window.ms."},
		{name: unique.SettingWindowFull, kind: text32, value: "refuse", doc: "What happens when the window has used up its memory and disk: new records are refused (refuse), or the oldest ids go early (evict), but of a tumbling window of a count or of bytes, which has no oldest."},
		{name: unique.SettingMemory, kind: long, value: strconv.Itoa(unique.DefaultMemory), low: unique.MinMemory, high: unique.MaxMemory, doc: "Bytes of memory for ids; what is beyond goes to disk."},
		{name: unique.SettingDisk, kind: long, value: strconv.Itoa(unique.NoDisk), low: unique.NoDisk, high: most, want: unique.WantDisk, doc: "Bytes of disk for ids, beside the log. -1 is no bound."},
		{name: unique.SettingScope, kind: text32, value: "topic", doc: "Where an id is one: topic, partition, or among records with the same header:NAME or json:PATH, one of either."},
		{name: unique.SettingDuplicates, kind: text32, value: "drop", doc: "What becomes of a copy: drop (its producer sees success), mark (a header names the first one), topic:NAME (it goes there), or reject."},
		{name: unique.SettingConflicts, kind: text32, value: "drop", doc: "What becomes of a record with a known id and another value: drop, accept, topic:NAME or reject."},
		{name: unique.SettingMissing, kind: text32, value: "accept", doc: "What becomes of a record without an id: accept or reject."},
		{name: unique.SettingMode, kind: text32, value: "enforce", doc: "Whether copies are dealt with (enforce) or only counted (shadow)."},
	}
}

// checkSettings refuses settings that a topic cannot have, by themselves or beside those of others.
func checkSettings(ts *topics, name string, own map[string]string) error {
	if err := ts.settings.topics.check(own); err != nil {
		return err
	}
	window, err := windowOf(ts.settings, name, own)
	if err != nil {
		return err
	}
	if window != nil {
		if err := checkRoutes(ts, name, window); err != nil {
			return err
		}
	}
	var keepsLess string
	switch {
	case window != nil:
		keepsLess = unique.SettingIdentity
	case ts.settings.compacts(own):
		keepsLess = "cleanup.policy=compact"
	default:
		return nil
	}
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	for _, from := range ts.name {
		if from.rules.window != nil && slices.Contains(from.rules.window.Routes(), name) {
			return refuse(code.InvalidConfig, "topic %q takes what topic %q does not keep, and so has to keep all of it: it cannot have %s", name, from.name, keepsLess)
		}
	}
	return nil
}

// checkRoutes refuses topics that cannot take what a topic is not to keep from now on.
// Where it goes by now may be gone: other settings change all the same.
func checkRoutes(ts *topics, name string, window *unique.Rules) error {
	var was unique.Rules
	if t := ts.named(name); t != nil && t.rules.window != nil {
		was = *t.rules.window
	}
	for _, p := range [][2]unique.Policy{{was.Duplicates, window.Duplicates}, {was.Conflicts, window.Conflicts}} {
		if is := p[1]; is.Fate == unique.Route && is != p[0] {
			if err := checkRoute(ts, name, is.Topic); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkRoute refuses a topic that cannot take what another does not keep.
func checkRoute(ts *topics, from, to string) error {
	switch t := ts.named(to); {
	case t == nil:
		return refuse(code.InvalidConfig, "records of topic %q are to go to topic %q, which does not exist: make it first", from, to)
	case t.rules.window != nil:
		return refuse(code.InvalidConfig, "records of topic %q are to go to topic %q, which keeps each message once itself: name one without %s", from, to, unique.SettingIdentity)
	case t.rules.compact:
		return refuse(code.InvalidConfig, "records of topic %q are to go to topic %q, which keeps the last one of each key, and takes none without: name one without cleanup.policy=compact", from, to)
	}
	return nil
}

// compacts tells whether a topic keeps the last record of each key.
func (s *settings) compacts(own map[string]string) bool {
	return slices.Contains(words(s.topicValue(own, "cleanup.policy")), "compact")
}

// windowOf is how a topic keeps each message once; nil if it does not.
func windowOf(s *settings, topic string, own map[string]string) (*unique.Rules, error) {
	r, err := unique.Parse(topic, s.compacts(own), own)
	if err != nil {
		return nil, refuse(code.InvalidConfig, "%v", err)
	}
	return r, nil
}
