package watermill_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	wm "github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/watermill"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

// A router had middleware.Deduplicator, and lost a mail when its handler failed once.
func Example() {
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Unbounded: true}}) // of a process alone; Redis, say, for several
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	once, err := watermill.NewDeduplicator(l, watermill.Options{
		Options: inbox.Options{Name: "mails", Window: inbox.Forever},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer once.Close()

	router, err := message.NewRouter(message.RouterConfig{}, wm.NopLogger{})
	if err != nil {
		log.Fatal(err)
	}
	channel := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, wm.NopLogger{})
	tries := 0
	router.AddMiddleware(once.Middleware)
	router.AddConsumerHandler("send", "mails", channel, func(m *message.Message) error {
		if tries++; tries == 1 {
			return errors.New("mail server is down")
		}
		fmt.Printf("%s is sent\n", m.Payload)
		return nil
	})
	go router.Run(context.Background())
	<-router.Running()
	defer router.Close()
	for _, mail := range []string{"welcome", "welcome", "invoice"} {
		if err := channel.Publish("mails", message.NewMessage("for-ada-"+mail, message.Payload(mail))); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// welcome is sent
	// invoice is sent
}
