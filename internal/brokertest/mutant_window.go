package brokertest

// ofWindows are faults in what becomes of the ids of topics with windows.
func ofWindows() []Mutant {
	return []Mutant{
		{"ids are remembered before their records are written", []Edit{{
			"broker/windows.go", "follow: func() error { return b.wal.Sync(b.wal.End()) }", "follow: func() error { return nil }",
		}, {
			"broker/windows_tend.go", "keepEvery = time.Second", "keepEvery = time.Millisecond",
		}}},
		{"windows are not brought to where the log is", []Edit{{
			"broker/catchup.go", "return wal.Walk(c.windows.wal(), first, c.frame)", "return nil",
		}}},
		{"the ids of open transactions are not known after a restart", []Edit{{
			"broker/windows.go", "err = ws.readPending(t)", "err = error(nil)",
		}}},
		{"the ids of aborted transactions are remembered", []Edit{{
			"broker/ending.go", "if !e.commit {", "if false {",
		}}},
		{"copies pass at the end of their transaction", []Edit{{
			"broker/ending.go", "if c.rules.Shadow {", "if true {",
		}}},
		{"the ids of ended transactions are not in the log", []Edit{{
			"broker/ending.go", "err = e.log(c)", "err = nil",
		}}},
		{"the ids of committed transactions are not remembered", []Edit{{
			"broker/ending.go", "err = c.step.Admit()", "err = nil",
		}}},
	}
}
