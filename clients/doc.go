// Package clients examines the node with the clients that people use, unmodified,
// and with Apache Kafka's own tools.
//
// Each client has a program (franz, sarama, kafkago: a folder with main.go; python,
// node and java: theirs) that does one thing at a time, named by its arguments, and
// tells what it did on standard output, one line each. The exam (exam_test.go) is
// the same for all: it starts hapax serve and the programs, and judges what they
// tell. A program ends with status 0, or says on standard error why not.
//
//	ADDRESS produce TOPIC COUNT CODEC…
//
// writes COUNT records with each codec in turn, idempotently if the client can. They
// are numbered from 0 on: the value is the number, the key k and its last digit, and
// the header "codec" is the codec. It tells of each one acknowledged:
//
//	wrote PARTITION OFFSET NUMBER
//
//	ADDRESS consume TOPIC COUNT
//
// reads COUNT records from the start of all partitions, read committed if the client
// can, and tells
//
//	read PARTITION OFFSET NUMBER KEY CODEC
//
//	ADDRESS follow TOPIC…
//
// reads all partitions of the topics from their start, read committed, until its standard
// input ends, whatever becomes of the broker meanwhile, and tells of each record, which
// has a header "label":
//
//	read TOPIC PARTITION OFFSET LABEL
//
//	ADDRESS member GROUP TOPIC [consumer]
//
// is a member of a group, of the consumer protocol (KIP-848) if that is said and the
// program has it, until its standard input ends; then it leaves. It tells how
// many partitions it has whenever that changes, and of each record once its offset
// is committed:
//
//	assigned COUNT
//	handled PARTITION OFFSET NUMBER
//
//	ADDRESS transform GROUP FROM TO ID
//
// is a member of a group until its standard input ends, and writes each record of
// topic FROM to topic TO, in transactions of the transactional id ID that commit the
// group's offsets too. Every third transaction it aborts, and does again. It tells
//
//	assigned COUNT
//	aborted
//	committed COUNT
//
//	ADDRESS admin TOPIC GROUP
//
// makes, describes, changes and deletes a topic and a group, and tells what it sees;
// TestAdmin says how.
//
// The tools are run by scripts under testdata/tools, which hold what Apache Kafka
// answered to them; see tools_test.go.
package clients
