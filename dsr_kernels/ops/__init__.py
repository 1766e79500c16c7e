"""The ops: one file each, holding the public function, its checks and its registration."""
