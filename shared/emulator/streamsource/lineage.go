package streamsource

import "paylane/shared/feed"

// lineage knows how far each shard is, and so which may be read.
type lineage struct {
	from   feed.Position // where the shards begin that are there at first
	first  map[string]bool
	states map[string]state
}

// state is how far a shard is.
type state int

const (
	waiting state = iota
	running
	done
)

// start is a shard that may be read, and from where.
type start struct {
	id   string
	from feed.Position
}

func newLineage(from feed.Position) *lineage {
	return &lineage{from: from, states: make(map[string]state)}
}

// ready returns those of the shards that are to be started now: what they follow is done,
// or gone.
func (l *lineage) ready(shards []feed.Shard) (ready []start) {
	there := make(map[string]bool, len(shards))
	for _, s := range shards {
		there[s.ID] = true
	}
	if l.first == nil {
		l.first = there
		l.skipPast(shards)
	}
	for _, s := range shards {
		parent := l.states[s.ParentID]
		if l.states[s.ID] != waiting || parent == running || parent == waiting && there[s.ParentID] {
			continue
		}
		l.states[s.ID] = running
		from := feed.Horizon // what is in a child comes after its parent
		if l.first[s.ID] {
			from = l.from
		}
		ready = append(ready, start{s.ID, from})
	}
	return ready
}

// skipPast passes over the shards that have ended if reading begins at the latest record:
// their children go on from there at once.
func (l *lineage) skipPast(shards []feed.Shard) {
	if l.from != feed.Latest {
		return
	}
	for _, s := range shards {
		if s.ParentID != "" {
			l.states[s.ParentID] = done
		}
	}
}

// done records that all of a shard is done.
func (l *lineage) done(id string) { l.states[id] = done }
