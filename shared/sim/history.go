package sim

// history records what clients asked and were answered.
type history struct{}

func newHistory() *history { return &history{} }

func (h *history) begin(c *client, method, path string, header map[string]string, body string) int {
	return 0
}
func (h *history) end(call int, got answer) {}
