package code

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// TestNames compares every code with what clients take it for.
func TestNames(t *testing.T) {
	named := 0
	for n := math.MinInt16; n <= math.MaxInt16; n++ {
		got := Error(n)
		if strings.HasPrefix(got.String(), "code ") {
			continue
		}
		named++
		want := "NONE"
		if err := kerr.ErrorForCode(int16(n)); err != nil {
			var theirs *kerr.Error
			if !errors.As(err, &theirs) || theirs.Code != int16(n) {
				t.Errorf("%d: %v is no code of Kafka's", n, got)
				continue
			}
			want = theirs.Message
		}
		if got == NotLeaderOrFollower {
			want = "NOT_LEADER_OR_FOLLOWER" // NOT_LEADER_FOR_PARTITION until Kafka 2.6
		}
		if got.String() != want {
			t.Errorf("%d is %v, want %s", n, got, want)
		}
	}
	if named < 80 {
		t.Errorf("%d codes have names", named)
	}
}

func TestOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want Error
	}{
		{nil, None},
		{InvalidRecord, InvalidRecord},
		{fmt.Errorf("append: %w", fmt.Errorf("batch of 3 bytes: %w", CorruptMessage)), CorruptMessage},
		{errors.Join(errors.New("other"), InvalidTxnState), InvalidTxnState},
		{errors.New("no code"), UnknownServerError},
	} {
		if got := Of(test.err); got != test.want {
			t.Errorf("Of(%v) = %v, want %v", test.err, got, test.want)
		}
	}
}

func TestUnknownNumber(t *testing.T) {
	if got := Error(12345).Error(); got != "code 12345" {
		t.Errorf("got %q", got)
	}
}
