package contract

import "testing"

// QueueRule is a rule of SQS that an emulation of SQS may be known to break. Its test says
// so in [QueueOptions].Differs, and the cases then leave out the steps that depend on the
// rule.
type QueueRule string

// The rules that may be excepted.
const (
	RuleRange         QueueRule = "a delay or visibility timeout that is out of range is refused"
	RuleNewestHandle  QueueRule = "a handle acts only until the message is received again"
	RuleExpiredHandle QueueRule = "the newest handle still hides after its visibility timeout"
	RuleRetention     QueueRule = "a message past its retention is gone"
	RuleEntryErrors   QueueRule = "a refused entry of a batch has SQS's code and text"
)

// differs reports whether the queue is known to break a rule, and logs it.
func (q queueCase) differs(t *testing.T, rule QueueRule) bool {
	t.Helper()
	reason, ok := q.known[rule]
	if ok {
		t.Logf("not checked that %s: %s", rule, reason)
	}
	return ok
}
