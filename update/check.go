package update

func checkZone(s State, m *Message) error          { return nil }
func checkPrerequisites(v *view, m *Message) error { return nil }
func prescan(v *view, m *Message) error            { return nil }
func (m *Message) checkTypes() error               { return nil }
func apply(v *view, m *Message, o Limits)          {}

type view struct{ notes []Note }

func newView(s State) *view           { return &view{} }
func (v *view) commit(o Limits) error { return nil }
