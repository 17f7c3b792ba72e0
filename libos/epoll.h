/*
 * epoll.h - what the rest of the libOS must tell epoll.
 */
#pragma once

struct file;

/* The last reference to a watched file went: its items go from every epoll instance. */
void epoll_file_gone(struct file *file);
