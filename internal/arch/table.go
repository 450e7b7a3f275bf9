package arch

import "slices"

const module = "github.com/hapaxmq/hapax"

// row says what a package may import of this module. Files of tests may import
// anything. A package that only tests may import has a name that ends in "test".
type row struct {
	path string   // in the module; a folder below it has the same rights
	may  []string // paths of the module, each with what is below it

	pure  bool // nothing that touches the world, and no other module
	files bool // may open and change files by package os
}

// table is the import table, floor by floor. An arrow points only downward, and
// never sideways.
func table() []row { return slices.Concat(floors(), doors(), beside()) }

func floors() []row {
	return []row{
		// Floor 0: the vocabulary.
		{path: ".", pure: true},

		// Floor 1: what decides, and the door to the disk.
		{path: "identity", may: list(".")},
		{path: "window", may: list("."), pure: true},
		{path: "internal/arena"},
		{path: "internal/handling"},
		{path: "internal/claimrecord", may: list(".")},
		{path: "internal/lines"},
		{path: "internal/vfs", files: true},
		{path: "internal/sqltext"},
		{path: "broker/code", pure: true},
		{path: "broker/scram", pure: true},
		{path: "broker/shape"},
		{path: "broker/batch", may: list("broker/code")},
		{path: "broker/compact", may: list("broker/code", "broker/batch")},
		{path: "broker/producer", may: list("broker/code"), pure: true},
		{path: "broker/txn", may: list("broker/code"), pure: true},
		{path: "broker/group", may: list("broker/code"), pure: true},

		// Floor 2: the framed file, and several of them as one log.
		{path: "internal/segment", may: list(".", "internal/vfs")},
		{path: "internal/textfile", may: list(".", "internal/vfs")},
		{path: "internal/wal", may: list(".", "internal/vfs", "internal/segment", "internal/textfile")},

		{path: "internal/marking", may: list(".", "identity", "internal/sqltext")},

		// Floor 3: the durable ledger.
		{path: "ledger", may: list(".", "identity", "window", "internal/arena", "internal/vfs", "internal/segment", "internal/textfile", "internal/wal")},

		{path: "internal/claiming", may: list(".", "identity", "internal/marking", "internal/sqltext")},
		{path: "outbox", may: list(".")},
		{path: "internal/putting", may: list(".", "identity", "outbox", "internal/marking", "internal/sqltext")},
		{path: "outbox/relay", may: list("outbox")},
		{path: "internal/relaying", may: list("outbox", "internal/marking", "internal/putting", "internal/sqltext")},
		{path: "adapter/sqldb", may: list(".", "outbox", "internal/claiming", "internal/marking", "internal/putting", "internal/relaying", "internal/sqltext")},
		{path: "adapter/pgxdb", may: list(".", "outbox", "internal/claiming", "internal/marking", "internal/putting", "internal/relaying", "internal/sqltext")},

		{path: "broker/partition", may: list(".", "broker/code", "broker/batch", "broker/producer", "internal/wal")},

		// The ledgers in other people's stores, and no more of each than a driver.
		{path: "adapter/memcached", may: list(".", "identity", "internal/claimrecord")},
		{path: "adapter/redisdb", may: list(".", "identity", "internal/claimrecord")},

		// Floor 4: what uses a ledger, and the node.
		{path: "broker/unique", may: list(".", "identity", "ledger", "broker/code", "broker/batch")},
		{path: "broker", may: list(".", "identity", "ledger", "broker/code", "broker/batch", "broker/compact", "broker/scram", "broker/shape", "broker/txn", "broker/group", "broker/partition", "broker/unique", "internal/vfs", "internal/textfile", "internal/wal")},
		{path: "inbox", may: list(".", "identity", "internal/handling")},
		{path: "httpkey", may: list(".", "identity", "internal/handling")},
		{path: "audit", may: list(".", "identity", "window", "ledger")},
		{path: "uniq", may: list(".", "identity", "internal/lines", "ledger")},
	}
}

// doors are the floors above all that is kept: how messages come in and go out.
func doors() []row {
	return []row{
		// Floor 5: adapters to brokers, and to those who watch.
		{path: "internal/intake", may: list(".", "inbox")},
		{path: "adapter/kafka", may: list(".", "inbox")},
		{path: "adapter/kafkaproducer", may: list(".", "identity", "inbox", "httpkey", "outbox")},
		{path: "internal/sending", may: list("outbox")},
		{path: "adapter/kafkarelay", may: list("outbox", "internal/sending")},
		{path: "adapter/natsrelay", may: list("outbox", "internal/sending")},
		{path: "adapter/rabbitmqrelay", may: list("outbox", "internal/sending")},
		{path: "adapter/mqtt", may: list(".", "inbox", "internal/intake")},
		{path: "adapter/nats", may: list(".", "inbox", "internal/intake")},
		{path: "adapter/otelinbox", may: list(".", "inbox")},
		{path: "internal/durations"},
		{path: "adapter/otelhttpkey", may: list(".", "httpkey")},
		{path: "adapter/promhttpkey", may: list(".", "httpkey", "internal/durations")},
		{path: "adapter/prominbox", may: list(".", "inbox", "internal/durations")},
		{path: "adapter/promledger", may: list(".", "ledger")},
		{path: "adapter/promrelay", may: list("outbox")},
		{path: "adapter/promkafkaproducer", may: list("adapter/kafkaproducer")},
		{path: "adapter/rabbitmq", may: list(".", "inbox", "internal/intake")},
		{path: "adapter/redisstreams", may: list(".", "inbox", "internal/intake", "adapter/redisdb")},
		{path: "adapter/watermill", may: list(".", "inbox")},

		// Floor 6: a play of all of them. Its auditor knows nobody.
		{path: "demo/auditor", pure: true},
		{path: "demo", may: list(".", "ledger", "broker", "inbox", "outbox", "outbox/relay", "httpkey", "adapter/kafka", "adapter/kafkarelay", "adapter/redisdb", "adapter/sqldb", "demo/auditor"), files: true},

		// Floor 7: the binary, and programs to copy.
		{path: "cmd/hapax", may: list(".", "identity", "window", "internal/lines", "internal/vfs", "ledger", "audit", "uniq", "broker", "outbox", "adapter/kafkarelay", "adapter/natsrelay", "adapter/rabbitmqrelay", "adapter/pgxdb", "adapter/promrelay", "adapter/sqldb", "demo"), files: true},
		{path: "examples", may: list(".", "ledger", "inbox", "outbox", "outbox/relay", "httpkey", "adapter/kafka", "adapter/kafkarelay", "adapter/nats", "adapter/pgxdb", "adapter/rabbitmq", "adapter/redisdb", "adapter/sqldb")},
	}
}

// beside are exams, tools and this package.
func beside() []row {
	return []row{
		{path: "internal/rehearsaltest"},
		{path: "internal/processtest", files: true},
		{path: "internal/proxytest"},
		{path: "inboxtest", may: list(".", "internal/processtest", "internal/proxytest", "internal/rehearsaltest")},
		{path: "ledgertest", may: list(".", "identity", "ledger", "internal/vfs", "internal/processtest", "internal/proxytest", "internal/rehearsaltest")},
		{path: "internal/brokertest", files: true},
		{path: "internal/deliverytest", may: list(".", "inbox", "ledger", "adapter/sqldb"), files: true},
		{path: "internal/servertest", may: list("internal/brokertest"), files: true},
		{path: "internal/relaytest", may: list("outbox", "adapter/pgxdb", "adapter/sqldb", "internal/servertest")},
		{path: "internal/hookstream", may: list(".", "identity")},
		{path: "internal/tools", may: list(".", "identity", "internal/hookstream"), files: true},
		{path: "internal/transcripttest", files: true},
		{path: "internal/arch"},

		// A module of its own, which sees the node from outside only.
		{path: "clients"},
	}
}

func list(paths ...string) []string { return paths }

// world is what a pure package leaves to its callers, each with what is below it:
// time and randomness come in as values, locks are the shell's.
func world() []string { return list("os", "net", "sync", "log", "syscall") }
