package examples_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	wm "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/watermill"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

func deduplicatorBefore() (message.HandlerMiddleware, error) {
	memory, err := middleware.NewMapExpiringKeyRepository(time.Hour)
	if err != nil {
		return nil, err
	}
	d := &middleware.Deduplicator{KeyFactory: middleware.NewMessageHasherSHA256(1 << 20), Repository: memory}
	return d.Middleware, nil
}

func deduplicatorAfter(seen hapax.Ledger) (message.HandlerMiddleware, error) {
	d, err := watermill.NewDeduplicator(seen, watermill.Options{Options: inbox.Options{
		Name:     "shop",
		Identity: "content", // the payload, as the hashes were; without it the message's UUID
		Window:   time.Hour,
	}})
	if err != nil {
		return nil, err
	}
	return d.Middleware, nil
}

// mails are sent by a router with that middleware, on a channel that delivers again what
// failed; the server is down at first.
func mails(m message.HandlerMiddleware) (sent int) {
	router, err := message.NewRouter(message.RouterConfig{}, wm.NopLogger{})
	if err != nil {
		log.Fatal(err)
	}
	channel := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, wm.NopLogger{})
	tries := 0
	router.AddMiddleware(m)
	router.AddConsumerHandler("send", "mails", channel, func(*message.Message) error {
		if tries++; tries == 1 {
			return errors.New("mail server is down")
		}
		sent++
		return nil
	})
	ended := make(chan error, 1)
	go func() { ended <- router.Run(context.Background()) }()
	<-router.Running()
	if err := channel.Publish("mails", message.NewMessage("m-1", message.Payload("welcome, ann"))); err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(router.Close(), <-ended); err != nil {
		log.Fatal(err)
	}
	return sent
}

// Watermill's own takes a message that failed for a copy when it comes again.
func Example_deduplicator() {
	before, err := deduplicatorBefore()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("before:", mails(before), "mails")

	dir, err := os.MkdirTemp("", "migration-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	seen, err := ledger.Open(dir, ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()
	after, err := deduplicatorAfter(seen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("after:", mails(after), "mails")
	// Output:
	// before: 0 mails
	// after: 1 mails
}
