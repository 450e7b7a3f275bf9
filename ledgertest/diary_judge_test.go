package ledgertest

import (
	"bytes"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func (d *diary) judge(source string, e ledger.Entry) hapax.Verdict {
	d.now()
	if source == "" {
		return d.judgeInTime(e)
	}
	r := d.reading(source)
	if r.confirmed && e.Offset <= r.checkpoint.Offset {
		return hapax.Duplicate
	}
	m, met := r.met[e.Offset]
	switch {
	case !met || m.fp != e.Fingerprint:
	case d.held(m.fp):
		d.size -= e.Size // it has come before
	case !d.keeps(e):
	case m.verdict == hapax.Fresh:
		return hapax.Redelivered
	case d.bug == "conflicts judged anew":
		return d.copyOf(e)
	default:
		return m.verdict
	}
	v := d.judgeInTime(e)
	switch {
	case v == hapax.InFlight || v == hapax.Late:
	case d.bug == "redelivers duplicates":
		r.met[e.Offset] = meeting{e.Fingerprint, hapax.Fresh}
	default:
		r.met[e.Offset] = meeting{e.Fingerprint, v}
	}
	return v
}

// keeps tells whether a position keeps its verdict.
func (d *diary) keeps(e ledger.Entry) bool {
	switch d.bug {
	case "never redelivered":
		return false
	case "positions leave":
		return d.known(e.Fingerprint) != nil
	case "positions come late":
		return !d.o.Window.EventTime || e.Time >= d.mark-int64(d.o.Window.Time)
	case "positions renew":
		if n := d.known(e.Fingerprint); n != nil && d.o.Window.Kind == hapax.Renewed {
			d.order++
			n.order = d.order
		}
	}
	return true
}

// judgeInTime moves the watermark and gives the verdict on what was not met before.
func (d *diary) judgeInTime(e ledger.Entry) hapax.Verdict {
	if d.o.Window.EventTime {
		skew := int64(d.o.Window.Skew)
		if d.bug == "any future" {
			skew = 1 << 62
		}
		d.mark = max(d.mark, min(e.Time, d.latest+skew))
		if e.Time < d.mark-int64(d.o.Window.Time) && d.bug != "never late" {
			return hapax.Late
		}
	}
	return d.judgeNew(e)
}

// held tells whether somebody works on it.
func (d *diary) held(fp hapax.Fingerprint) bool {
	h, claimed := d.shelf.state.records[fp]
	return claimed && !h.committed && d.shelf.now.Before(h.deadline)
}

// copyOf is the verdict on a copy by what is known of its first now.
func (d *diary) copyOf(e ledger.Entry) hapax.Verdict {
	if n := d.known(e.Fingerprint); n != nil && d.o.Digests && e.Digest != 0 && n.digest != 0 && e.Digest != n.digest {
		return hapax.Conflict
	}
	return hapax.Duplicate
}

func (d *diary) judgeNew(e ledger.Entry) hapax.Verdict {
	d.size += e.Size
	if h, claimed := d.shelf.state.records[e.Fingerprint]; claimed && !h.committed && d.shelf.now.Before(h.deadline) {
		if d.o.Digests && e.Digest != 0 && h.digest != 0 && e.Digest != h.digest {
			return hapax.Conflict
		}
		return hapax.InFlight
	}
	n := d.known(e.Fingerprint)
	if d.bug == "120 bits decide" {
		for fp, other := range d.notes {
			if bytes.Equal(fp[:15], e.Fingerprint[:15]) {
				n = other
			}
		}
	}
	if n == nil {
		d.write(e)
		return hapax.Fresh
	}
	if d.o.Digests && e.Digest != 0 && n.digest != 0 && e.Digest != n.digest {
		return hapax.Conflict
	}
	if d.o.Window.Kind == hapax.Renewed || d.bug == "always renewed" {
		d.order++
		n.order, n.size, n.time = d.order, d.size, max(n.time, d.time(e))
	}
	d.stats.Ages[ledger.AgeBucket(time.Duration(d.latest-n.time))]++
	return hapax.Duplicate
}
