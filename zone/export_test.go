package zone

// Hidden counts the numbers that look-ups do not see.
func (z *Zone) Hidden() int {
	if h := z.held.ended.Load(); h != nil {
		return h.ended.Len()
	}
	return 0
}
