// Package linear records what concurrent clients saw of a server, and has
// porcupine decide whether some order of their operations explains it: an
// order in which each takes effect at one moment between its call and its
// answer.
//
// It owns: the model (a few numbers with one address each, updates with
// prerequisites on several of them at once, look-ups and full transfers), the
// clients that make histories over UDP and TCP, and the check.
//
// An update without an answer may have taken effect or not. One that a crash
// cut off must have done so before the crash, or never: what nobody has seen
// after a restart must not come back.
//
// It must not know how a server is started or ended. Only tests may
// import it.
package linear
