package clients

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTools runs Kafka's own tools by the scripts under testdata/tools, and demands
// that they answer as they do to Apache Kafka. A script is a list of steps with an
// empty line between them:
//
//	# what this is about
//
//	console-producer --topic orders
//	< a line of input
//	a line of output
//	exit 1
//
// A last line tells the exit status, if it is not 0. The broker's address is put in
// for BROKER, and behind --bootstrap-server if a step does not name it. A step "file
// NAME" writes its input to a file. What differs from run to run is masked.
//
// With -apache the scripts are run against Apache Kafka, and their output is
// recorded.
func TestTools(t *testing.T) { //nolint:tparallel // one JVM runs one tool at a time
	t.Parallel()
	require(t, installed+"/java/classes/done")
	scripts, err := filepath.Glob("testdata/tools/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	tools := startTools(t)
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			n := start(t)
			steps := readScript(t, path)
			for i, s := range steps {
				if s.command == "" {
					continue
				}
				got := mask(n, tools.run(t, n.address, s))
				if !*apache && !s.answered(got) {
					t.Errorf("%s\ngot:\n%s\nApache Kafka:\n%s", s.command, strings.Join(got, "\n"), strings.Join(s.output, "\n"))
				}
				steps[i].output = got
			}
			if *apache {
				writeScript(t, path, steps)
			}
		})
	}
}

// step is a command with its input and output, or a comment.
type step struct {
	comment []string
	command string
	input   []string
	output  []string
}

// answered tells whether a tool's answer is the one that s has. The order of lines
// counts where they are records; elsewhere some tools change it from run to run.
func (s step) answered(got []string) bool {
	if strings.HasPrefix(s.command, "console-consumer") || strings.HasPrefix(s.command, "verifiable-consumer") {
		return slices.Equal(got, s.output)
	}
	return slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(s.output)))
}

func readScript(t *testing.T, path string) []step {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for block := range strings.SplitSeq(strings.TrimSpace(string(content)), "\n\n") {
		var s step
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			switch input, isInput := strings.CutPrefix(line, "< "); {
			case s.command == "" && strings.HasPrefix(line, "#"):
				s.comment = append(s.comment, line)
			case s.command == "":
				s.command = line
			case isInput:
				s.input = append(s.input, input)
			default:
				s.output = append(s.output, line)
			}
		}
		steps = append(steps, s)
	}
	return steps
}

func writeScript(t *testing.T, path string, steps []step) {
	t.Helper()
	var blocks []string
	for _, s := range steps {
		lines := append([]string{}, s.comment...)
		if s.command != "" {
			lines = append(lines, s.command)
		}
		for _, input := range s.input {
			lines = append(lines, "< "+input)
		}
		blocks = append(blocks, strings.Join(append(lines, s.output...), "\n"))
	}
	if err := os.WriteFile(path, []byte(strings.Join(blocks, "\n\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tools runs one tool at a time.
type tools struct {
	*program
	java []string // runs a class in a JVM
	dir  string   // where the tools find files
}

func startTools(t *testing.T) *tools {
	t.Helper()
	top, err := filepath.Abs(installed)
	if err != nil {
		t.Fatal(err)
	}
	java := javaCommand("")
	for i, word := range java {
		java[i] = strings.ReplaceAll(word, installed, top) // they run in another folder
	}
	java = append(java[:len(java)-1], "-Duser.timezone=UTC", "-Duser.language=en")
	x := &tools{java: java, dir: t.TempDir()}
	x.program = launch(t, "tools", x.command("Tools"))
	return x
}

func (x *tools) command(class string, args ...string) *exec.Cmd {
	c := exec.Command(x.java[0], slices.Concat(x.java[1:], []string{class}, args)...)
	c.Dir = x.dir
	return c
}

// run returns what a tool wrote, and its exit status if that is not 0.
func (x *tools) run(t *testing.T, address string, s step) []string {
	t.Helper()
	args := arguments(strings.ReplaceAll(s.command, "BROKER", address))
	name, args := args[0], args[1:]
	if name == "file" {
		if err := os.WriteFile(filepath.Join(x.dir, args[0]), []byte(strings.Join(s.input, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	class, ok := classes()[name]
	if !ok {
		t.Fatalf("no tool %q", name)
	}
	if !strings.Contains(s.command, "BROKER") {
		args = append(args, "--bootstrap-server", address)
	}
	if strings.HasPrefix(name, "verifiable-") { // they say the most when their JVM ends
		out, err := x.command(class, args...).CombinedOutput()
		lines := strings.Split(string(out), "\n")
		if err != nil {
			lines = append(lines, err.Error())
		}
		return lines
	}
	return x.runInside(t, class, args, s)
}

// runInside runs a tool in the JVM that runs them all.
func (x *tools) runInside(t *testing.T, class string, args []string, s step) []string {
	t.Helper()
	var request bytes.Buffer
	fmt.Fprintf(&request, "%s\n%d\n%d\n", class, len(args), len(s.input))
	for _, line := range append(args, s.input...) {
		fmt.Fprintln(&request, line)
	}
	if _, err := x.stdin.Write(request.Bytes()); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for late := time.After(patience); ; {
		select {
		case line := <-x.lines:
			output, more := strings.CutPrefix(line, "|")
			if more {
				lines = append(lines, output)
				continue
			}
			if status, err := strconv.Atoi(line); err != nil {
				t.Fatalf("%s: the tools ended: %v\n%s", s.command, err, x.complaints.String())
			} else if status != 0 {
				lines = append(lines, "exit "+line)
			}
			return lines
		case <-late:
			t.Fatalf("%s does not end within %v", s.command, patience)
		}
	}
}

// arguments cuts a command into words; quotes keep spaces.
func arguments(command string) []string {
	var words []string
	for _, quoted := range regexp.MustCompile(`'[^']*'|\S+`).FindAllString(command, -1) {
		words = append(words, strings.Trim(quoted, "'"))
	}
	return words
}

// classes are the tools by the names of their scripts in Kafka's bin.
func classes() map[string]string {
	const tools = "org.apache.kafka.tools."
	return map[string]string{
		"acls":                         tools + "AclCommand",
		"broker-api-versions":          tools + "BrokerApiVersionsCommand",
		"client-compatibility-test":    tools + "ClientCompatibilityTest",
		"client-metrics":               tools + "ClientMetricsCommand",
		"cluster":                      tools + "ClusterTool",
		"configs":                      "kafka.admin.ConfigCommand",
		"console-consumer":             tools + "consumer.ConsoleConsumer",
		"console-producer":             tools + "ConsoleProducer",
		"consumer-groups":              tools + "consumer.group.ConsumerGroupCommand",
		"consumer-perf-test":           tools + "ConsumerPerformance",
		"delete-records":               tools + "DeleteRecordsCommand",
		"e2e-latency":                  tools + "EndToEndLatency",
		"features":                     tools + "FeatureCommand",
		"get-offsets":                  tools + "GetOffsetShell",
		"groups":                       tools + "GroupsCommand",
		"leader-election":              tools + "LeaderElectionCommand",
		"log-dirs":                     tools + "LogDirsCommand",
		"producer-perf-test":           tools + "ProducerPerformance",
		"reassign-partitions":          tools + "reassign.ReassignPartitionsCommand",
		"streams-application-reset":    tools + "StreamsResetter",
		"topics":                       tools + "TopicCommand",
		"transactional-message-copier": tools + "TransactionalMessageCopier",
		"transactions":                 tools + "TransactionsCommand",
		"verifiable-consumer":          tools + "VerifiableConsumer",
		"verifiable-producer":          tools + "VerifiableProducer",
	}
}

// mask hides what differs from run to run, and how far a stack was.
func mask(n *node, lines []string) []string {
	host, port, _ := strings.Cut(n.address, ":")
	masks := []struct{ from, to string }{
		{n.address, "BROKER"},
		{`\s+`, " "},
		{host + " " + port, "HOST PORT"},
		{`^ at .*`, ""},
		{`TopicId: [\w-]{22}`, "TopicId: …"},
		{`-[0-9a-f]{8}-[0-9a-f-]{27}\b`, "-…"},
		{`(^|[^.\w])[0-9]{13}\b( \d+ ?$)?`, "${1}TIME"}, // and how long ago that was
		{`\b20\d\d[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d[.:,]\d+\b`, "TIME"},
		{`"logDir":"[^"]*"`, `"logDir":"…"`},
		{`"size":[1-9]\d*`, `"size":…`},
		{`(^|[ (:,])\d+\.\d+\b`, "${1}N"},
		{`\b\d+ ms`, "N ms"},
		{` = \d+`, " = N"},
		{`N, \d+, \d+, N, N$`, "N, N, N, N, N"},
		{`(Exception|Error while executing topic command ?):.*`, "$1: …"}, // each has its own words
		{`^(copier 1|1 copier) \d+`, "$1 ID"},                             // of the producer
		{`^\d+ (\d+ 0 -1 TIME)`, "ID $1"},
		{`min\.insync\.replicas=1,?`, ""},
	}
	var masked []string
	for _, line := range lines {
		for _, m := range masks {
			line = regexp.MustCompile(m.from).ReplaceAllString(line, m.to)
		}
		if line = strings.TrimSpace(line); line != "" {
			masked = append(masked, line)
		}
	}
	return slices.Compact(masked) // some say the same until something happens
}
