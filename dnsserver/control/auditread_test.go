package control

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAuditLogAboutANumber(t *testing.T) {
	const zone = "phones.example."
	dir := t.TempDir()
	now := time.Unix(1_800_000_000, 0)
	a := NewAudit(dir, func() time.Time { now = now.Add(time.Second); return now })
	if list, err := a.About(zone, "1", time.Time{}); err != nil || len(list) != 0 {
		t.Errorf("without a log: %v, %v", list, err)
	}
	for i, number := range []string{"1", "11", "1", ""} {
		if err := a.Append(Entry{Action: fmt.Sprint("do ", i), Zone: zone, Number: number, Detail: `"number":"1"`}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Append(Entry{Action: "elsewhere", Zone: "other.example.", Number: "1"}); err != nil {
		t.Fatal(err)
	}
	list, err := a.About(zone, "1", time.Time{})
	if err != nil || len(list) != 2 || list[0].Action != "do 0" || list[1].Action != "do 2" {
		t.Errorf("got %+v, %v", list, err)
	}
	if list, err := a.About(zone, "1", time.Now().Add(time.Hour)); err != nil || len(list) != 0 {
		t.Errorf("nothing has been written since: %+v, %v", list, err)
	}
	path := filepath.Join(dir, AuditName)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path+".1", path); err != nil {
		t.Fatal(err)
	}
	if _, err := a.About(zone, "1", time.Time{}); err == nil {
		t.Error("a symbolic link was followed")
	}
}
