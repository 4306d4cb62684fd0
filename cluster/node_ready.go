package cluster

// Check finds what is wrong with the configuration, the files that it names included, and fills in what has defaults. It
// starts nothing.
func (n *Node) Check() error {
	_, err := n.prepare()
	return err
}

// Joined is closed once this relay has met the others, as far as they can be reached, and is ready to be given topics.
func (n *Node) Joined() <-chan struct{} { return n.joined }
