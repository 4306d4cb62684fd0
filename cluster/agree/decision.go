package agree

// Decision is something that the machine wants done in its own process.
type Decision interface{ decision() }

type (
	// Show makes entries visible: they follow what was shown of the topic before.
	Show struct {
		Topic   string
		Entries []Entry
		Standby string // at the owner: who holds them too; empty if nobody else may own
		Hop     int    // relays between the owner and this one, this one included: 0 at the owner, 2 below a parent that follows
	}
	// Replace exchanges what is shown of a topic: entries from Base+1 on are the canonical log. Every subscriber goes on
	// where Route says for the Place it had. Route may be called from anywhere, for as long as somebody needs it.
	Replace struct {
		Topic   string
		Base    Position // before the first entry
		Lineage Lineage  // up to Base
		Entries []Entry
		Route   func(Place) Route
	}
	// Merged says that events of a lost branch have found their places in what is shown, or are about to be shown. A
	// subscriber whose Place has a Lost part may have seen them: it goes on where Route says.
	Merged struct {
		Topic string
		Route func(Place) Route
	}
	// Opened says that the topic's log is whole here: from now on resumes are answered. Head is its newest visible place;
	// if nothing was shown yet, that is where what will be shown begins.
	Opened struct {
		Topic string
		Head  Position
	}
	// Answer ends a publish.
	Answer struct {
		Ticket uint64
		Result Result
	}
	// Resumed ends a resume: Route is about the log as shown now.
	Resumed struct {
		Ticket uint64
		Route  Route
	}
	// Charge says that this relay began or ceased to own a topic. The owner of a feed pulls it.
	Charge struct {
		Topic string
		Owner bool
		Epoch uint64
	}
	// Audience says that somebody, here or at a relay that follows, began or ceased to want a topic that is owned here.
	Audience struct {
		Topic string
		Wants bool
	}
	// Forget says that the topic is no longer held.
	Forget struct{ Topic string }
	// Notice is for metrics and logs.
	Notice struct {
		Topic  string
		Name   string
		Detail string
	}
)

func (Show) decision()     {}
func (Replace) decision()  {}
func (Merged) decision()   {}
func (Opened) decision()   {}
func (Answer) decision()   {}
func (Resumed) decision()  {}
func (Charge) decision()   {}
func (Audience) decision() {}
func (Forget) decision()   {}
func (Notice) decision()   {}
