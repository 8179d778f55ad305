package contract

import "testing"

// QueueRule is a rule of SQS that a stand-in for SQS may be known not to keep. What is
// known of one stands in its test, as [QueueOptions].Differs, and nowhere else. The
// cases then leave out the steps that the rule is about.
type QueueRule string

// The rules that may be excepted.
const (
	RuleRange         QueueRule = "a delay or visibility timeout that is out of range is refused"
	RuleNewestHandle  QueueRule = "a handle acts only until the message is received again"
	RuleExpiredHandle QueueRule = "the newest handle still hides after its visibility timeout"
	RuleRetention     QueueRule = "a message past its retention is gone"
	RuleEntryErrors   QueueRule = "a refused entry of a batch has SQS's code and text"
)

// differs tells whether the queue is known not to keep a rule, and logs it.
func (q queueCase) differs(t *testing.T, rule QueueRule) bool {
	t.Helper()
	reason, ok := q.known[rule]
	if ok {
		t.Logf("not checked that %s: %s", rule, reason)
	}
	return ok
}
