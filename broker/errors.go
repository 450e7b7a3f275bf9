package broker

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax/broker/code"
)

// refusal is an error that a client is told as a code and a message.
type refusal struct {
	code    code.Error
	message string
	setting string // that it is about, if it is about one
}

func (r *refusal) Error() string { return r.message }

// Unwrap makes errors.Is find the code.
func (r *refusal) Unwrap() error { return r.code }

func refuse(c code.Error, format string, args ...any) error {
	return &refusal{code: c, message: fmt.Sprintf(format, args...)}
}

// refuseSetting refuses what a setting says, which the message names.
func refuseSetting(setting, format string, args ...any) error {
	return &refusal{code.InvalidConfig, fmt.Sprintf(format, args...), setting}
}

// SettingOf is the name of the setting that an error is about, if it is about one.
func SettingOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.setting
	}
	return ""
}

// codeOf is what a client is told of an error. One that is nobody's refusal is the
// storage's: the node has become read-only.
func codeOf(err error) code.Error {
	var c code.Error
	switch {
	case err == nil:
		return code.None
	case errors.As(err, &c):
		return c
	}
	return code.KafkaStorageError
}

// messageOf is the message for a client, nil if there is none.
func messageOf(err error) *string {
	if err == nil {
		return nil
	}
	m := err.Error()
	return &m
}

func noTopicCalled(name string) error {
	return refuse(code.UnknownTopicOrPartition, "there is no topic %q", name)
}
