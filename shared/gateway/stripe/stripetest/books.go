package stripetest

// Book is what one order, named by the metadata "order", comes to in the books.
type Book struct {
	// Charged and Refunded are sums in Stripe's units; Charges and Refunds count.
	Charged, Refunded int64
	Charges, Refunds  int
	// Open counts intents that can still be charged.
	Open int
}

// Books returns what was charged and refunded, by order.
func (s *Server) Books() map[string]Book {
	s.mu.Lock()
	defer s.mu.Unlock()
	books := make(map[string]Book)
	for _, i := range s.intents {
		b := books[i.metadata["order"]]
		switch i.status {
		case "succeeded":
			b.Charged, b.Charges = b.Charged+i.received, b.Charges+1
		case "canceled":
		default:
			b.Open++
		}
		books[i.metadata["order"]] = b
	}
	for _, f := range s.refunds {
		if f.status == "failed" {
			continue
		}
		b := books[f.intent.metadata["order"]]
		b.Refunded, b.Refunds = b.Refunded+f.amount, b.Refunds+1
		books[f.intent.metadata["order"]] = b
	}
	return books
}

// Intents returns the ids of the intents, oldest first.
func (s *Server) Intents() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, len(s.intents))
	for n, i := range s.intents {
		ids[n] = i.id
	}
	return ids
}

// FailRefund makes a refund fail, as a bank may days after it was made.
func (s *Server) FailRefund(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.refunds {
		if f.id == id {
			f.status, f.reason = "failed", "lost_or_stolen_card"
		}
	}
}

// Settle ends what an intent is processing: as charged or not.
func (s *Server) Settle(id string, charged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.byID[id]
	if i.status = "requires_payment_method"; charged {
		i.status, i.received = "succeeded", i.amount
	}
}

// Dispute makes the charge of an intent a disputed one.
func (s *Server) Dispute(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[id].disputed = true
}

// Calls returns how many calls of that name there were; see [Call].
func (s *Server) Calls(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for call, count := range s.counts {
		if len(call) > len(name) && call[:len(name)+1] == name+" " {
			n += count
		}
	}
	return n
}
