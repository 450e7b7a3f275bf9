package examples

import (
	"context"
	"encoding/json"
	"fmt"
	"net/smtp"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

// Signup is what a message says of which an e-mail is sent.
type Signup struct {
	ID    string `json:"id"`
	Email string `json:"email"`
}

// OpenSent opens what remembers the mails that were sent, in a directory of this
// process. Several processes share one in Redis instead: redisdb.Open.
func OpenSent(directory string) (*ledger.Ledger, error) {
	return ledger.Open(directory, ledger.Options{Window: hapax.Window{Time: 30 * 24 * time.Hour}, Digests: true})
}

// Welcome makes an inbox that sends one e-mail for each id of a signup. Nothing can send
// exactly one: if the process dies after the server took the mail and before that is
// noted, it is sent again. It has the same Message-ID then, by which mail servers and
// programs know it.
func Welcome(sent hapax.Ledger, server string) (*inbox.Inbox, error) {
	return inbox.Lease(sent, inbox.Options{
		Name: "welcome", Identity: "json:id", Window: 30 * 24 * time.Hour, Lease: time.Minute,
	}, func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		var s Signup
		if err := json.Unmarshal(m.Value, &s); err != nil {
			return nil, inbox.Permanent(err)
		}
		mail := fmt.Sprintf("From: shop@example.org\r\nTo: %s\r\nMessage-ID: <%s@example.org>\r\nSubject: Welcome\r\n\r\nHello.\r\n",
			s.Email, inbox.ChildID(ctx, "mail"))
		return nil, smtp.SendMail(server, nil, "shop@example.org", []string{s.Email}, []byte(mail))
	})
}
