package httpapi

import "sync"

// maxOpen is how many requests of a tenant may wait at a time in a process, and how many
// streams it may have open, so that no tenant takes the memory of all. A Lambda environment
// serves one request at a time: there the bound is the concurrency reserved for the function,
// over all tenants.
const maxOpen = 2000

// openRequests counts by tenant the requests that are open.
type openRequests struct {
	mu sync.Mutex
	of map[string]int
}

// enter counts a request of the tenant until leave is called. It reports false, and counts
// nothing, if the tenant has maxOpen.
func (o *openRequests) enter(tenant string) (leave func(), ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of[tenant] == maxOpen {
		return nil, false
	}
	if o.of == nil {
		o.of = make(map[string]int)
	}
	o.of[tenant]++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.of[tenant]--; o.of[tenant] == 0 {
			delete(o.of, tenant)
		}
	}, true
}
